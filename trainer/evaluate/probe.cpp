#include "trainer/evaluate/probe.h"

#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <map>
#include <set>

#include "data/error.h"
#include "trainer/evaluate/borrowed_network.h"
#include "trainer/evaluate/frame_states.h"
#include "trainer/evaluate/labelled_frames.h"
#include "trainer/evaluate/readout.h"
#include "trainer/evaluate/scores.h"

namespace lacuna {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kFewLabels = 6;  // a class, of finetune unless it is told: 60 of ten digits
constexpr std::array<int64_t, 3> kNeighbours = {1, 5, 20};

void add_share(Json& line, const std::string& name, double successes, double trials) {
  const auto [low, high] = wilson(successes, trials);
  line[name] = trials > 0 ? successes / trials : 0.0;
  line[name + "_low"] = low;
  line[name + "_high"] = high;
}

void add_share(Json& line, const std::string& name, const at::Tensor& told, const Documents& test) {
  add_share(line, name, told.eq(labels_of(test)).sum().item<double>(), static_cast<double>(test.size()));
}

// Documents by class and by the class told.
at::Tensor confusion(const at::Tensor& told, const Documents& test, int64_t classes) {
  auto counts = at::zeros({classes, classes}, at::kLong);
  for (size_t i = 0; i < test.size(); ++i) counts[test[i]->label][told[static_cast<int64_t>(i)].item<int64_t>()] += 1;
  return counts;
}

Json json_of(const at::Tensor& counts, const std::vector<std::string>& classes) {
  auto rows = Json::array();
  for (int64_t i = 0; i < counts.size(0); ++i) {
    const auto* row = counts[i].data_ptr<int64_t>();
    rows.push_back(std::vector<int64_t>(row, row + counts.size(1)));
  }
  return {{"classes", classes}, {"counts", rows}};
}

// What every line begins and ends with.
struct Lines {
  std::string task;
  const LabelledFrames& read;
  int64_t fitted;
  size_t judged;

  Json begin(const std::string& arm) const { return {{"task", task}, {"arm", arm}, {"label", read.label}}; }
  Json end(Json line, const at::Tensor& counts) const {
    line["chance"] = 1.0 / static_cast<double>(read.classes.size());
    line["examples"] = judged;
    line["fitted"] = fitted;
    line["confusion"] = json_of(counts, read.classes);
    return line;
  }
};

Documents fit_of(const LabelledFrames& read, int64_t per_class, uint64_t seed) {
  return per_class > 0 ? draw_per_class(pointers(read.fit), per_class, seed) : pointers(read.fit);
}

uint64_t first_seed(const EvaluationContext& c) { return static_cast<uint64_t>(c.options.task_seed); }
int64_t frame_size(const EvaluationContext& c) { return c.corpora.front()->spec().frames.frame_size(); }
int64_t num_classes(const LabelledFrames& read) { return static_cast<int64_t>(read.classes.size()); }

}  // namespace

std::optional<std::string> FrameEvaluation::misfit(const EvaluationPlan& plan) const {
  if (plan.offers.modality != "frames") return "it reads labels of recordings and pictures, and the network reads texts";
  if (!plan.has_corpora) return "there is nothing to judge on: name a corpus under data.validation or with --corpus";
  return std::nullopt;
}

std::vector<Json> ProbeEvaluation::run(const EvaluationContext& c) const {
  const auto read = read_labelled(c);
  const auto classes = num_classes(read);
  const auto fit = fit_of(read, c.options.probe.labels_per_class, first_seed(c)), test = pointers(read.test);
  const Lines lines{"probe", read, static_cast<int64_t>(fit.size()), test.size()};
  const auto labels = labels_of(fit);
  const auto line_of = [&](const std::string& arm, const at::Tensor& x, const at::Tensor& y) {
    auto line = lines.begin(arm);
    const auto told = read_out(Readout::linear, x, labels, y, classes);
    add_share(line, "accuracy", told, test);
    add_share(line, "accuracy_mlp", read_out(Readout::mlp, x, labels, y, classes), test);
    if (x.size(0) > 1) add_share(line, "accuracy_weighted", read_out(Readout::weighted, x, labels, y, classes), test);
    return lines.end(std::move(line), confusion(told, test, classes));
  };
  std::vector<Json> result;
  BorrowedNetwork network(c);
  result.push_back(line_of("pretrained", document_states(c, fit), document_states(c, test)));
  network.reset(first_seed(c));
  result.push_back(line_of("random", document_states(c, fit), document_states(c, test)));
  result.push_back(line_of("features", document_features(fit, frame_size(c)), document_features(test, frame_size(c))));
  const auto told = network.train_and_tell(fit, test, classes, first_seed(c));
  auto scratch = lines.begin("scratch");
  add_share(scratch, "accuracy", told, test);
  result.push_back(lines.end(std::move(scratch), confusion(told, test, classes)));
  return result;
}

std::vector<Json> KnnEvaluation::run(const EvaluationContext& c) const {
  const auto read = read_labelled(c);
  const auto classes = num_classes(read);
  const auto fit = fit_of(read, c.options.probe.labels_per_class, first_seed(c)), test = pointers(read.test);
  const Lines lines{"knn", read, static_cast<int64_t>(fit.size()), test.size()};
  const auto labels = labels_of(fit);
  const auto line_of = [&](const std::string& arm, const at::Tensor& x, const at::Tensor& y) {
    auto line = lines.begin(arm);
    at::Tensor nearest;
    for (const int64_t k : kNeighbours) {
      const auto told = nearest_class(x[x.size(0) - 1], labels, y[y.size(0) - 1], k, classes);
      if (k == 1) nearest = told;
      add_share(line, k == 1 ? "accuracy" : "accuracy_" + std::to_string(k), told, test);
    }
    return lines.end(std::move(line), confusion(nearest, test, classes));
  };
  std::vector<Json> result;
  BorrowedNetwork network(c);
  const auto of_states = [&](const std::string& arm) {
    result.push_back(line_of(arm, document_states(c, fit), document_states(c, test)));
  };
  of_states("pretrained");
  network.reset(first_seed(c));
  of_states("random");
  result.push_back(line_of("features", document_features(fit, frame_size(c)), document_features(test, frame_size(c))));
  network.train_and_tell(fit, test, classes, first_seed(c));
  of_states("scratch");
  return result;
}

std::vector<Json> FinetuneEvaluation::run(const EvaluationContext& c) const {
  const auto read = read_labelled(c);
  const auto classes = num_classes(read);
  const auto test = pointers(read.test);
  const auto per_class = c.options.probe.labels_per_class > 0 ? c.options.probe.labels_per_class : kFewLabels;
  const std::vector<std::string> arms = {"pretrained", "random", "features", "scratch"};
  std::map<std::string, std::vector<double>> accuracies;
  std::map<std::string, at::Tensor> counts;
  int64_t fitted = 0;
  BorrowedNetwork network(c);
  for (int64_t i = 0; i < c.options.probe.seeds; ++i) {
    const auto seed = first_seed(c) + static_cast<uint64_t>(i);
    const auto fit = fit_of(read, per_class, seed);
    fitted = static_cast<int64_t>(fit.size());
    const auto labels = labels_of(fit);
    const auto note = [&](const std::string& arm, const at::Tensor& told) {
      accuracies[arm].push_back(told.eq(labels_of(test)).to(at::kDouble).mean().item<double>());
      const auto found = confusion(told, test, classes);
      counts[arm] = counts[arm].defined() ? counts[arm] + found : found;
    };
    network.restore();
    note("pretrained", network.train_and_tell(fit, test, classes, seed));
    network.reset(seed);
    note("random", read_out(Readout::linear, document_states(c, fit), labels, document_states(c, test), classes));
    note("features", read_out(Readout::linear, document_features(fit, frame_size(c)), labels,
                              document_features(test, frame_size(c)), classes));
    note("scratch", network.train_and_tell(fit, test, classes, seed));
  }
  const Lines lines{"finetune", read, fitted, test.size()};
  std::vector<Json> result;
  for (const auto& arm : arms) {
    const auto& seen = accuracies[arm];
    const auto n = static_cast<double>(seen.size());
    double mean = 0, squares = 0;
    for (const double x : seen) mean += x / n;
    for (const double x : seen) squares += (x - mean) * (x - mean);
    auto line = lines.begin(arm);
    // The draws share the documents that they are judged on, so the interval is that of one draw's number of them.
    add_share(line, "accuracy", mean * static_cast<double>(test.size()), static_cast<double>(test.size()));
    line["standard_error"] = n > 1 ? std::sqrt(squares / (n - 1) / n) : 0.0;
    line["draws"] = seen;
    result.push_back(lines.end(std::move(line), counts[arm]));
  }
  return result;
}

std::optional<std::string> LeaveOneGroupOutEvaluation::misfit(const EvaluationPlan& plan) const {
  if (auto reason = FrameEvaluation::misfit(plan)) return reason;
  if (plan.options.probe.group.empty())
    return "it does not know the groups; name a label such as evaluate.probe.group = \"speaker\"";
  return std::nullopt;
}

std::vector<Json> LeaveOneGroupOutEvaluation::run(const EvaluationContext& c) const {
  const auto read = read_labelled(c);
  const auto classes = num_classes(read);
  auto all = pointers(read.fit);
  for (const auto& document : read.test) all.push_back(&document);
  std::set<std::string> groups;
  for (const auto* document : all) groups.insert(document->group);
  if (groups.size() < 2)
    throw data_error("the corpora have one " + c.options.probe.group + ", and leaving it out leaves nothing to fit to");

  BorrowedNetwork network(c);
  std::map<std::string, at::Tensor> features;
  features["pretrained"] = document_states(c, all);
  network.reset(first_seed(c));
  features["random"] = document_states(c, all);
  features["features"] = document_features(all, frame_size(c));
  struct Result {
    std::vector<Outcome> outcomes;
    at::Tensor counts;
  };
  std::map<std::string, Result> results;
  for (const auto& group : groups) {
    Documents fit, test;
    std::vector<int64_t> inside, outside;
    for (size_t i = 0; i < all.size(); ++i) {
      const bool out = all[i]->group == group;
      (out ? test : fit).push_back(all[i]);
      (out ? outside : inside).push_back(static_cast<int64_t>(i));
    }
    const auto note = [&](const std::string& arm, const at::Tensor& told) {
      auto& result = results[arm];
      const auto found = confusion(told, test, classes);
      result.counts = result.counts.defined() ? result.counts + found : found;
      for (size_t i = 0; i < test.size(); ++i) {
        const bool right = told[static_cast<int64_t>(i)].item<int64_t>() == test[i]->label;
        result.outcomes.push_back({.measures = {{"accuracy", right ? 1.0 : 0.0, 1}},
                                   .chance = 1.0 / static_cast<double>(classes),
                                   .slices = {{c.options.probe.group, group}}});
      }
    };
    for (const auto& [arm, x] : features) {
      const auto part = [&](const std::vector<int64_t>& rows) { return x.index_select(1, at::tensor(rows, at::kLong)); };
      note(arm, read_out(Readout::linear, part(inside), labels_of(fit), part(outside), classes));
    }
    network.reset(first_seed(c));
    note("scratch", network.train_and_tell(fit, test, classes, first_seed(c)));
  }
  std::vector<Json> lines;
  for (const auto* arm : {"pretrained", "random", "features", "scratch"}) {
    Json line{{"task", "leave_one_group_out"}, {"arm", arm}, {"label", read.label}};
    line.update(score(results[arm].outcomes));
    line.erase("log_probability");
    for (auto& [group, entry] : line["slices"][c.options.probe.group].items()) entry.erase("log_probability");
    line["confusion"] = json_of(results[arm].counts, read.classes);
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace lacuna
