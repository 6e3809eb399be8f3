// What an objective on patches says was there, for people to look at.
#pragma once
#include "trainer/model/architecture.h"

namespace lacuna {

class Painting {
 public:
  virtual ~Painting() = default;
  // The values (B, T, P) float32 that the network gives the patches of a batch which prepare() made, with its scale. Throws a
  // usage error where it was trained to give none.
  virtual at::Tensor paint(Architecture& architecture, const Batch& batch) = 0;
  // How many rows of a batch a sample makes, one behind the other; the last of them is painted.
  virtual int64_t rows_of_a_sample() const = 0;
};

}  // namespace lacuna
