// What run.deterministic costs on a GPU, measured on the run's own shapes.
#pragma once
#include <string>

#include "trainer/model/model_work.h"

namespace lacuna {

// Seconds of one micro-batch. What differs are the gradients of attention, and the algorithms of products, which a deterministic
// run may not choose by time; everything else runs the same kernels either way.
struct DeterministicPrice {
  double attention = 0, products = 0;  // more than without
  double without = 0;                  // attention and products of a run that is not deterministic
};

// On the current device and stream, for blocks of fused kernels in bf16. Takes a second or two, and memory that is free again
// after.
DeterministicPrice deterministic_price(const ModelWork& work);

// "+3.1 ms a step: attention +2.6, products +0.5; they take 2.8 % longer (measured at start)".
std::string price_text(const DeterministicPrice& price, double micro_batches);

}  // namespace lacuna
