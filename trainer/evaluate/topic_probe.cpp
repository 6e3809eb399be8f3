#include "trainer/evaluate/topic_probe.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/one_hot.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>

#include "data/error.h"
#include "data/tasks/topics.h"
#include "data/tokenizer/tokenizer.h"
#include "trainer/evaluate/answerer.h"
#include "trainer/evaluate/scores.h"

namespace lacuna {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kSteps = 300, kFewestTokens = 16, kMostTokens = 128, kLettersOfTopic = 1000, kWrittenShare = 2;
constexpr double kRate = 0.5, kMomentum = 0.9, kPenalty = 1e-3;

struct LabelledTexts {
  std::vector<std::vector<int32_t>> tokens;  // all of one length
  std::vector<int64_t> labels;
  int64_t classes;
};

// The same on every rank; every other one is fitted to.
LabelledTexts texts_of(const EvaluationContext& c) {
  const auto length = static_cast<size_t>(std::min(c.length, kMostTokens));
  const bool domains = c.corpora.size() > 1;
  LabelledTexts texts{.tokens = {}, .labels = {}, .classes = domains ? static_cast<int64_t>(c.corpora.size()) : kTopics};
  const auto random = Random(static_cast<uint64_t>(c.options.task_seed), 4).fork("topics");
  for (int64_t i = 0; i < 2 * c.options.examples; ++i) {
    const int64_t label = i / 2 % texts.classes, number = i / 2 / texts.classes * 2 + i % 2;
    std::vector<int32_t> tokens;
    if (domains) {
      const auto& corpus = *c.corpora[static_cast<size_t>(label)];
      if (corpus.size() == 0) throw data_error(corpus.spec().name + " is shorter than one row; lower batch.sequence_length");
      tokens = corpus.at(number % corpus.size()).tokens;
    } else {
      c.tokenizer->encode(topic_text(label, kLettersOfTopic, random.fork(static_cast<uint64_t>(i))), tokens);
    }
    tokens.resize(std::min(tokens.size(), length));
    texts.tokens.push_back(std::move(tokens));
    texts.labels.push_back(label);
  }
  return texts;
}

struct States {
  at::Tensor mean, last;  // (N, D) float64
};

// Collective; whole on every rank. With an encoder the text is read there and the decoder has its last token, so that only the
// last state is one of the text: it serves as the mean too.
States states_of(const EvaluationContext& c, const std::vector<std::vector<int32_t>>& texts) {
  auto& data = c.mesh.data();
  const auto n = static_cast<int64_t>(texts.size()), size = c.architecture.hidden_size();
  States states{at::zeros({n, size}, at::kDouble), at::zeros({n, size}, at::kDouble)};
  const int64_t first = n * data.rank() / data.size(), last = n * (data.rank() + 1) / data.size();
  for (int64_t begin = first; begin < last; begin += c.micro_size) {
    const int64_t rows = std::min(c.micro_size, last - begin);
    std::vector<int32_t> tokens;
    for (int64_t i = begin; i < begin + rows; ++i) {
      const auto& text = texts[static_cast<size_t>(i)];
      tokens.insert(tokens.end(), text.begin(), text.end());
    }
    Batch batch;
    batch.tokens = at::tensor(tokens, at::kInt).view({rows, -1});
    batch.stream_positions = at::arange(rows, at::kLong);
    if (c.architecture.offers().encoder) {
      batch.encoder_tokens = batch.tokens;
      batch.tokens = batch.tokens.narrow(1, batch.tokens.size(1) - 1, 1).contiguous();
    } else if (c.architecture.offers().visibility == Visibility::prefix) {
      batch.bidirectional = at::zeros(batch.tokens.sizes(), at::kBool);
    }
    const auto hidden = c.architecture.forward(batch.to(c.device)).states.to(at::kCPU, at::kDouble);
    states.mean.narrow(0, begin, rows).copy_(hidden.mean(1));
    states.last.narrow(0, begin, rows).copy_(hidden.select(1, hidden.size(1) - 1));
    if (c.alive) c.alive();
  }
  data.all_reduce(states.mean, Reduce::sum);
  data.all_reduce(states.last, Reduce::sum);
  return states;
}

at::Tensor token_shares(const std::vector<std::vector<int32_t>>& texts, int64_t vocabulary) {
  auto shares = at::zeros({static_cast<int64_t>(texts.size()), vocabulary}, at::kDouble);
  auto* row = shares.data_ptr<double>();
  for (const auto& text : texts) {
    for (const auto token : text) row[token] += 1.0 / static_cast<double>(text.size());
    row += vocabulary;
  }
  return shares;
}

struct Judged {
  std::vector<Outcome> outcomes;
  LogisticProbe probe;
};

// Fitted to the even texts, judged on the odd ones.
Judged judge(const at::Tensor& features, const at::Tensor& labels, int64_t classes) {
  const auto half = [](const at::Tensor& t, int64_t start) { return t.slice(0, start, t.size(0), 2); };
  Judged judged{{}, LogisticProbe(half(features, 0), half(labels, 0), classes)};
  const auto test = half(labels, 1), guessed = judged.probe.predict(half(features, 1));
  for (int64_t i = 0; i < test.size(0); ++i) {
    const auto label = test[i].item<int64_t>();
    judged.outcomes.push_back({.measures = {{"accuracy", guessed[i].item<int64_t>() == label ? 1.0 : 0.0, 1}},
                               .chance = 1.0 / static_cast<double>(classes),
                               .slices = {{"topic", std::to_string(label)}}});
  }
  return judged;
}

Json line_of(const std::string& arm, const std::vector<Outcome>& outcomes) {
  Json line{{"task", "topic_probe"}, {"arm", arm}};
  line.update(score(outcomes));
  line.erase("log_probability");
  for (auto& [topic, entry] : line["slices"]["topic"].items()) entry.erase("log_probability");
  return line;
}

// Of the test's texts, how often the probe finds the topic in what the network writes behind their first half.
Measure coherence(const EvaluationContext& c, const LabelledTexts& texts, const LogisticProbe& probe) {
  std::vector<std::vector<int32_t>> prompts;
  std::vector<int64_t> labels;
  const auto length = texts.tokens[0].size() / kWrittenShare;
  for (size_t i = 1; i < texts.tokens.size(); i += 2) {
    prompts.emplace_back(texts.tokens[i].begin(), texts.tokens[i].begin() + static_cast<ptrdiff_t>(length));
    labels.push_back(texts.labels[i]);
  }
  auto written = Answerer(c).write(prompts, static_cast<int64_t>(length), "topic_probe, writing");
  Measure measure{"coherence", 0, 0};
  std::vector<std::vector<int32_t>> whole;
  std::vector<int64_t> kept;
  for (size_t i = 0; i < written.size(); ++i) {
    if (written[i].size() != length) continue;  // it ended its text: too short to tell
    whole.push_back(std::move(written[i]));
    kept.push_back(labels[i]);
  }
  if (whole.empty()) return measure;
  const auto guessed = probe.predict(states_of(c, whole).mean);
  for (size_t i = 0; i < kept.size(); ++i) measure.successes += guessed[static_cast<int64_t>(i)].item<int64_t>() == kept[i];
  measure.trials = static_cast<double>(kept.size());
  return measure;
}

}  // namespace

LogisticProbe::LogisticProbe(const at::Tensor& features, const at::Tensor& labels, int64_t classes) {
  mean_ = features.mean(0);
  deviation_ = (features - mean_).square().mean(0).sqrt().clamp_min(1e-6);
  const auto x = scaled(features), wanted = at::one_hot(labels, classes).to(at::kDouble);
  weight_ = at::zeros({features.size(1), classes}, at::kDouble);
  bias_ = at::zeros({classes}, at::kDouble);
  auto weight_speed = at::zeros_like(weight_), bias_speed = at::zeros_like(bias_);
  // Features of unit variance: the loss's curvature is at most about their number.
  const double rate = kRate / std::max(1.0, static_cast<double>(features.size(1)) / 16);
  for (int64_t step = 0; step < kSteps; ++step) {
    const auto error = (at::softmax(x.matmul(weight_) + bias_, 1) - wanted) / static_cast<double>(x.size(0));
    weight_speed = kMomentum * weight_speed - rate * (x.t().matmul(error) + kPenalty * weight_);
    bias_speed = kMomentum * bias_speed - rate * error.sum(0);
    weight_ += weight_speed;
    bias_ += bias_speed;
  }
}

at::Tensor LogisticProbe::scaled(const at::Tensor& features) const { return (features - mean_) / deviation_; }

at::Tensor LogisticProbe::predict(const at::Tensor& features) const {
  return (scaled(features).matmul(weight_) + bias_).argmax(1);
}

std::optional<std::string> TopicProbeEvaluation::misfit(const EvaluationPlan& plan) const {
  if (plan.tokenizer == nullptr) return "its corpora have no tokenizer; make them with lacuna prepare";
  if (plan.length < kFewestTokens)
    return "rows of " + std::to_string(plan.length) + " tokens say too little; raise batch.sequence_length to 16 or more";
  return std::nullopt;
}

std::vector<Json> TopicProbeEvaluation::run(const EvaluationContext& c) const {
  const Judging judging(c.architecture);
  const auto texts = texts_of(c);
  const auto labels = at::tensor(texts.labels, at::kLong);
  const auto states = states_of(c, texts.tokens);
  const auto by_mean = judge(states.mean, labels, texts.classes);
  const auto by_last = judge(states.last, labels, texts.classes);
  auto line = line_of("pretrained", by_mean.outcomes);
  std::vector<const Outcome*> last;
  for (const auto& outcome : by_last.outcomes) last.push_back(&outcome);
  const auto table = tabulate(last);
  for (const char* end : {"", "_low", "_high"}) line["accuracy_last" + std::string(end)] = table["accuracy" + std::string(end)];
  if (c.architecture.offers().generates) {
    const auto found = coherence(c, texts, by_mean.probe);
    const auto [low, high] = wilson(found.successes, found.trials);
    line["coherence"] = found.trials > 0 ? found.successes / found.trials : 0.0;
    line["coherence_low"] = low;
    line["coherence_high"] = high;
    line["coherence_texts"] = found.trials;
  }
  const auto features = judge(token_shares(texts.tokens, c.tokenizer->vocabulary_size()), labels, texts.classes);
  return {line, line_of("features", features.outcomes)};
}

}  // namespace lacuna
