#include "data/tokenizer/tokenizer.h"
#include "launch/assemble.h"
#include "launch/inspect.h"

namespace lacuna {
namespace {

using Json = nlohmann::ordered_json;

template <class T>
Json values(const at::Tensor& row) {
  const auto contiguous = row.contiguous();
  const auto* data = contiguous.const_data_ptr<T>();
  return Json(std::vector<T>(data, data + contiguous.numel()));
}

Json booleans(const at::Tensor& row) {
  Json list = Json::array();
  for (int64_t i = 0; i < row.numel(); ++i) list.push_back(row[i].item<bool>());
  return list;
}

Json shape_of(const at::Tensor& row) { return Json(row.sizes().vec()); }

// Of patches: which are masked, and the shapes of what would fill pages.
Json row_of_patches(const Batch& batch, int64_t b) {
  Json row{{"values", shape_of(batch.values[b])}};
  if (batch.masked.defined()) row["mask"] = values<int32_t>(batch.masked[b].to(at::kInt));
  if (batch.keys.defined()) row["keys"] = values<int32_t>(batch.keys[b].to(at::kInt));
  if (batch.weights.defined()) row["weights"] = values<float>(batch.weights[b]);
  if (batch.targets.defined()) row["targets"] = values<int32_t>(batch.targets[b]);
  if (batch.value_targets.defined()) row["value_targets"] = shape_of(batch.value_targets[b]);
  if (batch.value_weights.defined()) row["value_weights"] = values<float>(batch.value_weights[b].sum(-1));
  for (const auto& [name, tensor] : {std::pair{"segments", &batch.segments}, {"positions", &batch.positions}}) {
    if (tensor->defined()) row[name] = values<int32_t>((*tensor)[b]);
  }
  return row;
}

Json row_of(const Batch& batch, int64_t b) {
  if (batch.values.defined()) return row_of_patches(batch, b);
  Json row{{"tokens", values<int32_t>(batch.tokens[b])},
           {"targets", values<int32_t>(batch.targets[b])},
           {"weights", values<float>(batch.weights[b])}};
  if (batch.future_targets.defined()) {
    row["future_targets"] = Json::array(), row["future_weights"] = Json::array();
    for (int64_t t = 0; t < batch.future_targets.size(1); ++t) {
      row["future_targets"].push_back(values<int32_t>(batch.future_targets[b][t]));
      row["future_weights"].push_back(values<float>(batch.future_weights[b][t]));
    }
  }
  if (batch.bidirectional.defined()) row["bidirectional"] = booleans(batch.bidirectional[b]);
  const std::pair<const char*, const at::Tensor*> others[]{{"segments", &batch.segments},
                                                           {"positions", &batch.positions},
                                                           {"predicted", &batch.predicted},
                                                           {"encoder_tokens", &batch.encoder_tokens},
                                                           {"encoder_segments", &batch.encoder_segments},
                                                           {"encoder_positions", &batch.encoder_positions}};
  for (const auto& [name, tensor] : others) {
    if (tensor->defined()) row[name] = values<int32_t>((*tensor)[b]);
  }
  return row;
}

Json or_null(int32_t id) { return id < 0 ? Json() : Json(id); }

}  // namespace

Json inspect_batch(const std::string& config, const std::vector<std::string>& sets, int64_t step) {
  auto experiment = read_experiment(config, sets);
  experiment.parallel.tensor = 1;
  experiment.batch.micro_size = 0;
  check_fit(experiment, 1);
  const auto layout = lay_out(experiment, 1);
  const auto samples = sample_spec_of(experiment);
  const auto objective = make_objective(experiment, samples);
  const auto input = make_source(experiment, samples, *objective, layout, 0).at(step);
  const auto special = objective->special_tokens();
  Json result{{"step", step},
              {"special_tokens",
               {{"pad", or_null(special.pad)},
                {"end", or_null(special.end)},
                {"mask", or_null(special.mask)},
                {"sentinels", special.sentinels}}},
              {"rows", Json::array()}};
  for (const auto& batch : input.micro_batches) {
    for (int64_t b = 0; b < batch.rows(); ++b) result["rows"].push_back(row_of(batch, b));
  }
  return result;
}

}  // namespace lacuna
