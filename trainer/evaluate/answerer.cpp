#include "trainer/evaluate/answerer.h"

#include <ATen/ops/full.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>

#include "data/error.h"
#include "data/progress.h"
#include "data/prompt.h"
#include "data/tokenizer/tokenizer.h"

namespace lacuna {
namespace {

constexpr int64_t kSlotsOfHead = 512;  // read at once, so that their logits stay small
constexpr int64_t kLengthStep = 32;    // rows are padded to a multiple, so that a device sees few shapes

void keep_last(std::vector<int32_t>& tokens, size_t count) {
  if (tokens.size() > count) tokens.erase(tokens.begin(), tokens.end() - static_cast<ptrdiff_t>(count));
}

int64_t padded(size_t length) { return (static_cast<int64_t>(length) + kLengthStep - 1) / kLengthStep * kLengthStep; }

}  // namespace

Answerer::Answerer(const EvaluationContext& context)
    : context_(context), encoder_(context.architecture.offers().encoder), visibility_(context.architecture.offers().visibility) {}

Asked Answerer::ask(std::string_view context, std::string_view continuation) const {
  const auto& tokenizer = *context_.tokenizer;
  auto encoded = encoder_ ? encode_apart(tokenizer, context, continuation) : encode_prompt(tokenizer, context, continuation);
  const auto split = encoded.tokens.begin() + static_cast<ptrdiff_t>(encoded.prompt);
  Asked asked{.context = {encoded.tokens.begin(), split}, .shown = {split, encoded.tokens.end()}, .targets = {}, .counts = {}};
  const auto length = static_cast<size_t>(context_.length);
  if (asked.shown.empty() || asked.shown.size() > length) {
    throw data_error("an answer of " + std::to_string(asked.shown.size()) + " tokens does not fit rows of " +
                     std::to_string(length) + " (\"" + std::string(continuation.substr(0, 40)) +
                     "\"); answers have 1 to batch.sequence_length tokens");
  }
  asked.targets = asked.shown;
  if (asked.context.empty()) asked.context.push_back(tokenizer.end_token());
  keep_last(asked.context, encoder_ ? length : length + 1 - asked.shown.size());
  return asked;
}

// Rows of one length: padding comes behind what is asked, where nothing looks back at it.
Batch Answerer::batch_of(std::span<const Asked* const> asked) const {
  const auto rows = static_cast<int64_t>(asked.size());
  size_t longest = 0, read = 0;
  for (const auto* a : asked) {
    longest = std::max(longest, (encoder_ ? 1 : a->context.size()) + a->shown.size() - 1);
    read = std::max(read, a->context.size());
  }
  const int64_t length = std::max<int64_t>(static_cast<int64_t>(longest), std::min(padded(longest), context_.length));
  Batch batch;
  batch.tokens = at::zeros({rows, length}, at::kInt);
  if (encoder_) {
    const int64_t width = std::max<int64_t>(static_cast<int64_t>(read), std::min(padded(read), context_.length));
    batch.encoder_tokens = at::zeros({rows, width}, at::kInt);
    batch.encoder_segments = at::zeros({rows, width}, at::kInt);
    batch.segments = at::full({rows, length}, 1, at::kInt);
  } else if (visibility_ == Visibility::prefix) {
    batch.bidirectional = at::zeros({rows, length}, at::kBool);
  }
  for (int64_t row = 0; row < rows; ++row) {
    const auto& a = *asked[static_cast<size_t>(row)];
    auto* token = batch.tokens.data_ptr<int32_t>() + row * length;
    if (encoder_) {
      const int64_t width = batch.encoder_tokens.size(1);
      std::copy(a.context.begin(), a.context.end(), batch.encoder_tokens.data_ptr<int32_t>() + row * width);
      std::fill_n(batch.encoder_segments.data_ptr<int32_t>() + row * width, a.context.size(), 1);
      *token++ = a.context.back();
    } else {
      token = std::copy(a.context.begin(), a.context.end(), token);
      if (batch.bidirectional.defined()) std::fill_n(batch.bidirectional.data_ptr<bool>() + row * length, a.context.size(), true);
    }
    std::copy(a.shown.begin(), a.shown.end() - 1, token);
  }
  return batch;
}

// Adds each one's sum, number of correct targets and number of targets to results (n, 3) at its place.
void Answerer::read(std::span<const Asked* const> asked, std::span<const size_t> places, at::Tensor& results) const {
  auto batch = batch_of(asked);
  // Noise that a prediction starts from belongs to the question, whatever stands beside it.
  batch.stream_positions = at::tensor(std::vector<int64_t>(places.begin(), places.end()), at::kLong);
  std::vector<int64_t> slots, targets, owners;
  for (size_t row = 0; row < asked.size(); ++row) {
    const auto& a = *asked[row];
    const int64_t first =
        static_cast<int64_t>(row) * batch.length() + (encoder_ ? 0 : static_cast<int64_t>(a.context.size()) - 1);
    for (size_t i = 0; i < a.targets.size(); ++i) {
      if (!a.counts.empty() && a.counts[i] == 0) continue;
      slots.push_back(first + static_cast<int64_t>(i));
      targets.push_back(a.targets[i]);
      owners.push_back(static_cast<int64_t>(places[row]));
    }
  }
  auto& network = context_.architecture;
  // An objective that searches for its predictions has no states that the head could read alone.
  const bool thinks = context_.objective.thinks();
  const auto on_device = batch.to(context_.device);
  const auto outputs =
      (thinks ? context_.objective.logits(network, on_device, context_.effort) : network.forward(on_device).states).flatten(0, 1);
  const auto slot = at::tensor(slots, at::kLong).to(context_.device), target = at::tensor(targets, at::kLong).to(context_.device);
  const auto owner = at::tensor(owners, at::kLong);
  for (int64_t begin = 0; begin < slot.size(0); begin += kSlotsOfHead) {
    const int64_t count = std::min(kSlotsOfHead, slot.size(0) - begin);
    const auto wanted = target.narrow(0, begin, count);
    const auto picked = outputs.index_select(0, slot.narrow(0, begin, count));
    const auto logits = (thinks ? picked : network.head().logits(picked)).to(at::kFloat);
    const auto log_probability = at::log_softmax(logits, -1).gather(1, wanted.unsqueeze(1)).squeeze(1);
    const auto likeliest = logits.narrow(1, 0, context_.tokenizer->vocabulary_size()).argmax(-1);
    const auto to = owner.narrow(0, begin, count);
    const auto add = [&](int64_t column, const at::Tensor& values) {
      auto sums = results.select(1, column);
      sums.index_add_(0, to, values.to(at::kCPU, at::kDouble));
    };
    add(0, log_probability);
    add(1, likeliest.eq(wanted));
    add(2, at::full({count}, 1.0, at::kDouble));
  }
}

std::vector<Said> Answerer::answer(std::span<const Asked> asked, const std::string& label) const {
  const Judging judging(context_.architecture);
  std::vector<size_t> order(asked.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const auto length = [&](size_t i) { return asked[i].context.size() + asked[i].shown.size(); };
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return length(a) > length(b); });
  // Every data rank has its share of the long ones and of the short ones.
  std::vector<size_t> own;
  auto& data = context_.mesh.data();
  for (size_t i = static_cast<size_t>(data.rank()); i < order.size(); i += static_cast<size_t>(data.size()))
    own.push_back(order[i]);

  std::optional<Progress> progress;
  if (context_.show_progress) progress.emplace(label, static_cast<int64_t>(own.size()), "rows");
  auto results = at::zeros({static_cast<int64_t>(asked.size()), 3}, at::kDouble);
  const auto micro = static_cast<size_t>(context_.micro_size);
  for (size_t begin = 0; begin < own.size(); begin += micro) {
    const size_t count = std::min(micro, own.size() - begin);
    std::vector<const Asked*> part;
    for (size_t i = begin; i < begin + count; ++i) part.push_back(&asked[own[i]]);
    read(part, std::span(own).subspan(begin, count), results);
    if (context_.alive) context_.alive();
    if (progress) progress->update(static_cast<int64_t>(begin + count));
  }
  data.all_reduce(results, Reduce::sum);
  std::vector<Said> said;
  const auto* value = results.const_data_ptr<double>();
  for (size_t i = 0; i < asked.size(); ++i, value += 3) {
    said.push_back(
        {.log_probability = value[0], .correct = static_cast<int64_t>(value[1]), .count = static_cast<int64_t>(value[2])});
  }
  return said;
}

std::vector<std::vector<int32_t>> Answerer::write(std::span<const std::vector<int32_t>> prompts, int64_t max_tokens,
                                                  const std::string& label) const {
  const Judging judging(context_.architecture);
  std::map<size_t, std::vector<size_t>> by_length;  // prompts of one length are read together
  std::vector<std::vector<int32_t>> given(prompts.begin(), prompts.end());
  for (size_t i = 0; i < given.size(); ++i) {
    keep_last(given[i], static_cast<size_t>(std::max<int64_t>(1, context_.length - max_tokens)));
    by_length[given[i].size()].push_back(i);
  }
  std::vector<std::vector<size_t>> groups;
  const auto micro = static_cast<size_t>(context_.micro_size);
  for (const auto& [length, members] : by_length) {
    for (size_t begin = 0; begin < members.size(); begin += micro) {
      const auto first = members.begin() + static_cast<ptrdiff_t>(begin);
      groups.emplace_back(first, first + static_cast<ptrdiff_t>(std::min(micro, members.size() - begin)));
    }
  }
  std::optional<Progress> progress;
  if (context_.show_progress) progress.emplace(label, static_cast<int64_t>(groups.size()), "batches");
  auto& data = context_.mesh.data();
  // What a rank did not write, and what comes behind an end token, is -1; stored with 1 added, so that the sum over ranks is it.
  auto written = at::zeros({static_cast<int64_t>(prompts.size()), max_tokens}, at::kLong);
  for (auto g = static_cast<size_t>(data.rank()); g < groups.size(); g += static_cast<size_t>(data.size())) {
    const auto& group = groups[g];
    const auto rows = static_cast<int64_t>(group.size());
    std::vector<int32_t> tokens;
    for (const auto i : group) tokens.insert(tokens.end(), given[i].begin(), given[i].end());
    const auto generation = context_.objective.generate(context_.architecture, rows);
    auto next = at::tensor(tokens, at::kInt).view({rows, -1});
    std::vector<bool> ended(group.size());
    for (int64_t step = 0; step < max_tokens && std::find(ended.begin(), ended.end(), false) != ended.end(); ++step) {
      const auto logits = generation->advance(next).narrow(1, 0, context_.tokenizer->vocabulary_size());
      next = logits.argmax(-1).to(at::kCPU, at::kInt).unsqueeze(1).contiguous();
      context_.mesh.tensor().broadcast(next, 0);  // rounding must not lead ranks apart
      for (size_t row = 0; row < group.size(); ++row) {
        const auto token = next[static_cast<int64_t>(row)][0].item<int32_t>();
        if (token == context_.tokenizer->end_token()) ended[row] = true;
        if (!ended[row]) written[static_cast<int64_t>(group[row])][step] = token + 1;
      }
      if (context_.alive) context_.alive();
    }
    if (progress) progress->update(static_cast<int64_t>(g + 1));
  }
  data.all_reduce(written, Reduce::sum);
  std::vector<std::vector<int32_t>> texts(prompts.size());
  const auto* value = written.const_data_ptr<int64_t>();
  for (auto& text : texts) {
    for (int64_t i = 0; i < max_tokens && value[i] > 0; ++i) text.push_back(static_cast<int32_t>(value[i] - 1));
    value += max_tokens;
  }
  return texts;
}

}  // namespace lacuna
