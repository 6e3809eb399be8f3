// The socket that evaluations plug into. Every rank of the mesh takes part; each gets the same result.
#pragma once
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "data/corpus.h"
#include "trainer/objective.h"
#include "trainer/parallel/mesh.h"

namespace lacuna {

struct EvaluationContext {
  Objective& objective;
  Architecture& architecture;
  Mesh& mesh;
  const std::vector<std::shared_ptr<const Corpus>>& corpora;  // validation, windowed as the objective asks
  int64_t rows;        // to judge, over the whole world
  int64_t micro_size;  // rows of one forward pass
  uint64_t seed;
  at::Device device = at::kCPU;  // of the architecture
};

class Evaluation {
 public:
  virtual ~Evaluation() = default;
  // Lines of {"task", "loss", ...}; no step, no event.
  virtual std::vector<nlohmann::ordered_json> run(const EvaluationContext& context) const = 0;
};

}  // namespace lacuna
