#include "trainer/adopted_weights.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <set>

#include "data/error.h"

namespace lacuna {
namespace {

const std::string kParameter = "parameter.";
const std::string kObjective = "objective.";

bool same_width(const std::vector<int64_t>& a, const std::vector<int64_t>& b) {
  return a.size() == b.size() && std::equal(a.begin() + 1, a.end(), b.begin() + 1);
}

std::string in_words(const std::vector<int64_t>& shape) {
  std::string text;
  for (const auto size : shape) text += (text.empty() ? "" : " x ") + std::to_string(size);
  return text;
}

// This rank's rows of a table whose checkpoint has `rows` of them: those that both have from there, the others as they are.
void take_rows(const at::Tensor& saved, const FlatStorage::Range& range, int tensor_rank, at::Tensor own) {
  const int64_t first = range.partitioned ? tensor_rank * own.size(0) : 0;
  const int64_t rows = std::clamp<int64_t>(saved.size(0) - first, 0, own.size(0));
  own.narrow(0, 0, rows).copy_(saved.narrow(0, first, rows));
}

}  // namespace

AdoptedWeights adopt_weights(const Checkpoint& checkpoint, FlatStorage& storage, Mesh& mesh) {
  const at::NoGradGuard no_grad;
  AdoptedWeights adopted;
  std::set<std::string> ours;
  const auto differs = [&](const std::string& name, const std::string& how) {
    return checkpoint_error(checkpoint.folder().string() + " is of another network: " + name + " " + how +
                            "; start_from takes weights of the same [architecture]");
  };
  for (size_t i = 0; i < storage.ranges().size(); ++i) {
    const auto& range = storage.ranges()[i];
    const auto name = kParameter + range.name;
    ours.insert(name);
    const bool known = checkpoint.contains(name), of_objective = range.name.starts_with(kObjective);
    if (of_objective && (!known || checkpoint.full_shape(name) != range.full_shape)) {
      adopted.left_out.push_back(range.name);
      continue;
    }
    if (!known) throw differs(range.name, "is not there");
    const auto& saved_shape = checkpoint.full_shape(name);
    if (saved_shape == range.full_shape) {
      storage.set(i, checkpoint.read(name, range.partition_dim, mesh.tensor().rank(), range.partitioned ? mesh.tensor().size() : 1));
    } else if (range.is_table && same_width(saved_shape, range.full_shape)) {
      auto own = storage.value(i).detach().to(at::kCPU, at::kFloat).clone();
      take_rows(checkpoint.read(name), range, mesh.tensor().rank(), own);
      storage.set(i, own);
      if (saved_shape[0] < range.full_shape[0]) {
        adopted.rows_added.push_back(range.name + " (" + std::to_string(saved_shape[0]) + " to " + std::to_string(range.full_shape[0]) + ")");
      }
    } else {
      throw differs(range.name, "is " + in_words(saved_shape) + " there and " + in_words(range.full_shape) + " here");
    }
  }
  for (const auto& name : checkpoint.names()) {
    if (!name.starts_with(kParameter) || ours.contains(name)) continue;
    const auto own = name.substr(kParameter.size());
    if (!own.starts_with(kObjective)) throw differs(own, "has no place here");
    adopted.left_out.push_back(own);
  }
  return adopted;
}

}  // namespace lacuna
