#include "trainer/evaluate/source_attention.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>

#include "data/error.h"
#include "trainer/evaluate/answerer.h"
#include "trainer/evaluate/validation_rows.h"
#include "trainer/model/source_attention.h"

namespace lacuna {
namespace {

constexpr int64_t kShare = 8;  // of a row, its first 1 / kShare is the source

struct Cut {
  int64_t source, targets;  // tokens; of targets the last is read like the others
};

Cut cut_of(const EvaluationContext& c) {
  const int64_t length = std::min(c.length, c.objective.sample_length());
  const int64_t source = std::max<int64_t>(1, length / kShare);
  return {source, length - source};
}

// Decoders read both as one row; a decoder beside an encoder starts with the source's last token, as rows of prefix_language do.
Batch rows_of(const std::vector<Sample>& samples, const Cut& cut, bool encoder) {
  const auto rows = static_cast<int64_t>(samples.size()), first = encoder ? cut.source - 1 : 0;
  const int64_t length = cut.source + cut.targets - first;
  Batch batch;
  batch.tokens = at::empty({rows, length}, at::kInt);
  if (encoder) batch.encoder_tokens = at::empty({rows, cut.source}, at::kInt);
  for (int64_t row = 0; row < rows; ++row) {
    const auto* token = samples[static_cast<size_t>(row)].tokens.data();
    std::copy_n(token + first, length, batch.tokens.data_ptr<int32_t>() + row * length);
    if (encoder) std::copy_n(token, cut.source, batch.encoder_tokens.data_ptr<int32_t>() + row * cut.source);
  }
  if (!encoder) {
    batch.bidirectional = at::zeros({rows, length}, at::kBool);
    batch.bidirectional.narrow(1, 0, cut.source).fill_(true);
  }
  return batch;
}

}  // namespace

std::optional<std::string> SourceAttentionEvaluation::misfit(const EvaluationPlan& plan) const {
  if (plan.offers.modality != "text" || plan.offers.bytes) return "it watches decoders of tokens and encoder_decoder";
  if (!plan.offers.generates)
    return "where all positions see one another no target looks back at a source; use a causal or prefix decoder";
  if (!plan.has_corpora) return "it reads held-out text: name a corpus under data.validation or with --corpus";
  return std::nullopt;
}

std::vector<nlohmann::ordered_json> SourceAttentionEvaluation::run(const EvaluationContext& c) const {
  const Judging judging(c.architecture);
  auto* watched = dynamic_cast<SourceAttention*>(&c.architecture);
  if (watched == nullptr) throw usage_error("source_attention cannot watch this architecture; use decoder or encoder_decoder");
  const auto cut = cut_of(c);
  std::vector<std::string> kinds;
  // (kinds, L, 1 + targets): sums over rows by how many targets were read.
  const auto masses_of = [&](const std::vector<Sample>& samples) {
    const auto batch = rows_of(samples, cut, c.architecture.offers().encoder).to(c.device);
    std::vector<at::Tensor> sums;
    kinds.clear();
    for (const auto& [kind, mass] : watched->source_attention(batch)) {
      kinds.push_back(kind);
      sums.push_back(mass.narrow(-1, mass.size(-1) - cut.targets - 1, cut.targets + 1).sum(1, false, at::kDouble));
    }
    return at::stack(sums).to(at::kCPU);
  };
  const ValidationRows rows(c);
  auto sums = at::zeros_like(masses_of({rows.at(0)}));  // a rank may have no row of its own
  rows.each("source attention", [&](const std::vector<Sample>& samples) { sums += masses_of(samples); });
  c.mesh.data().all_reduce(sums, Reduce::sum);
  const auto means = sums / static_cast<double>(rows.size()), last = means.select(-1, cut.targets);

  nlohmann::ordered_json line{{"task", "source_attention"}, {"mass", last.mean().item<double>()}};
  const auto by_kind = [&](nlohmann::ordered_json& to, const at::Tensor& of_kinds) {
    for (size_t i = 0; i < kinds.size(); ++i) to[kinds[i]] = of_kinds[static_cast<int64_t>(i)].item<double>();
  };
  by_kind(line, last.mean(1));
  nlohmann::ordered_json targets = nlohmann::ordered_json::object(), layers = nlohmann::ordered_json::object();
  for (int64_t read = 1; read <= cut.targets; read = read < cut.targets ? std::min(2 * read, cut.targets) : read + 1) {
    auto& entry = targets[std::to_string(read)];
    entry["mass"] = means.select(-1, read).mean().item<double>();
    by_kind(entry, means.select(-1, read).mean(1));
  }
  for (int64_t layer = 0; layer < last.size(1); ++layer) {
    by_kind(layers[std::to_string(layer)] = nlohmann::ordered_json::object(), last.select(1, layer));
  }
  line["source_tokens"] = cut.source;
  line["target_tokens"] = cut.targets;
  line["rows"] = rows.size();
  line["slices"] = {{"targets", targets}, {"layer", layers}};
  return {line};
}

}  // namespace lacuna
