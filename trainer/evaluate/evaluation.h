// The socket that evaluations plug into. Every rank of the mesh takes part; each gets the same result.
#pragma once
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "data/corpus.h"
#include "trainer/config/experiment.h"
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
  std::shared_ptr<const Tokenizer> tokenizer = nullptr;  // null where texts have none
  int64_t length = 0;                                    // T, positions of the network's rows; frames where it reads those
  std::optional<PatchGrid> grid = std::nullopt;          // how the network cuts rows of frames; empty on text
  EvaluateOptions options = {};
  // Called after each forward pass, so that a watchdog sees that the rank is alive; may be empty.
  std::function<void()> alive = {};
  bool show_progress = false;  // of this rank
  Effort effort = {};          // of objectives that search for their predictions
  // Of the network and the objective, for evaluations that compare with other values of them; null = they are not known.
  const std::vector<ParameterSpec>* parameters = nullptr;
};

// What an evaluation may know of a run before anything of it is allocated.
struct EvaluationPlan {
  Offers offers;
  EvaluateOptions options;
  bool has_corpora;  // of validation
  std::shared_ptr<const Tokenizer> tokenizer;
  int64_t length;  // T
};

class Evaluation {
 public:
  virtual ~Evaluation() = default;
  // Why it cannot judge such a run, in words that name the mend; nothing where it can.
  virtual std::optional<std::string> misfit(const EvaluationPlan& /*plan*/) const { return std::nullopt; }
  // Lines of {"task", ...}: figures by name, and tables of them in an object "slices". No step, no event.
  virtual std::vector<nlohmann::ordered_json> run(const EvaluationContext& context) const = 0;
};

}  // namespace lacuna
