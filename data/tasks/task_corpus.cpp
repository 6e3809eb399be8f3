#include "data/tasks/task_corpus.h"

#include <algorithm>

#include "data/sha256.h"

namespace lacuna {

TaskCorpus::TaskCorpus(std::shared_ptr<const Task> task, int64_t version, int64_t window, const std::string& origin)
    : task_(std::move(task)), window_(window) {
  const auto& context = task_->context();
  std::string identity = task_->name() + " version " + std::to_string(version) + " seed " + std::to_string(context.seed) +
                         " length " + std::to_string(context.length) + " window " + std::to_string(window) + " sizes";
  for (const auto size : task_->sizes()) identity += " " + std::to_string(size);
  Sha256 hash;
  identity += "\n" + context.tokenizer->name() + "\n" + context.tokenizer->serialize() + "\n" + origin;
  hash.update(identity.data(), identity.size());
  spec_.kind = "task";
  spec_.name = "task " + task_->name();
  spec_.content_hash = hash.hex();
  spec_.tokens = size() * window;
  spec_.documents = size();
  spec_.vocabulary_size = context.tokenizer->vocabulary_size();
  spec_.tokenizer = context.tokenizer;
  spec_.responses = true;
}

Sample TaskCorpus::at(int64_t index) const {
  const auto numbers = Random(task_->context().seed, 4).fork("task corpus").fork(static_cast<uint64_t>(index));
  const auto window = static_cast<size_t>(window_);
  Sample sample;
  for (uint64_t i = 0; sample.tokens.size() < window; ++i) {
    const auto bits = numbers.block(i);
    auto example = tokens_of(task_->at(Split::train, (uint64_t{bits[1]} << 32 | bits[0]) >> 2), *task_->context().tokenizer);
    // The end of an answer in words is a part of it.
    example.tokens.push_back(task_->context().tokenizer->end_token());
    example.responses.push_back(example.responses.back());
    const bool cut = sample.tokens.size() + example.tokens.size() > window && !sample.tokens.empty();
    if (cut) std::fill(example.responses.begin(), example.responses.end(), uint8_t{0});
    sample.document_starts.push_back(static_cast<int32_t>(sample.tokens.size()));
    sample.tokens.insert(sample.tokens.end(), example.tokens.begin(), example.tokens.end());
    sample.responses.insert(sample.responses.end(), example.responses.begin(), example.responses.end());
  }
  sample.tokens.resize(window);
  sample.responses.resize(window);
  return sample;
}

}  // namespace lacuna
