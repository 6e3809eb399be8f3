// Feeds mutated tokenizers and texts to their readers: sentencepiece models, tokenizer.json files, gzip and JSON lines. Anything
// but success or an Error fails.
//
//   text_fuzz [INPUTS = 300] [SEED = 1]
#include <sentencepiece_trainer.h>

#include <cstdio>
#include <exception>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "data/error.h"
#include "data/text_reader.h"
#include "data/tokenizer/sentencepiece.h"
#include "data/tokenizer/tokenizer.h"
#include "tests/support/fuzzing.h"
#include "tests/support/temporary_folder.h"

namespace lacuna {
namespace {

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class Sentences : public sentencepiece::SentenceIterator {
 public:
  bool done() const override { return count_ == 300; }
  void Next() override { text_ = "some words " + std::to_string(++count_ * 7919 % 1000) + " and more of them"; }
  const std::string& value() const override { return text_; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  int count_ = 0;
  std::string text_ = "some words and more of them";
};

// With the table that normalises characters, which models trained by lacuna do not have.
std::string small_model() {
  Sentences sentences;
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(
      {{"vocab_size", "282"}, {"byte_fallback", "true"}, {"normalization_rule_name", "nmt_nfkc"}, {"minloglevel", "2"}},
      &sentences, &model);
  if (!status.ok()) throw std::runtime_error(status.error_message());
  return model;
}

void use(const Tokenizer& tokenizer) {
  std::vector<int32_t> tokens;
  tokenizer.encode("Some words, it's 3 o'clock: \xe6\x97\xa5\xe6\x9c\xac  \xff\n<|endoftext|>", tokens);
  for (const int32_t token : tokens) {
    if (token < 0 || token >= tokenizer.vocabulary_size()) throw std::runtime_error("a token outside the vocabulary");
  }
  tokenizer.decode(tokens);
  std::vector<int32_t> every(static_cast<size_t>(std::min<int64_t>(tokenizer.vocabulary_size(), 4000)));
  for (size_t i = 0; i < every.size(); ++i) every[i] = static_cast<int32_t>(i);
  tokenizer.decode(every);
}

int fuzz(int64_t inputs, uint64_t seed) {
  const testing::TemporaryFolder folder;
  const std::string model = small_model(), json = read("tests/golden/tokenizer/byte_pair.json"),
                    split = read("tests/golden/tokenizer/qwen2_style.json"),
                    lines = "{\"text\": \"one\", \"a\": [1, {\"b\": null}]}\n{\"text\": \"caf\\u00e9\"}\n",
                    zipped = std::string("\x1f\x8b\x08\0\0\0\0\0\0\x03", 10) +
                             "KLJ\xe6"
                             "JLJ\xe6\x02";
  if (json.empty() || split.empty()) throw std::runtime_error("run this in the source root, where tests/golden/tokenizer is");
  int64_t accepted = 0, refused = 0;
  for (int64_t i = 0; i < inputs; ++i) {
    const Random random = Random(seed, 0).fork(static_cast<uint64_t>(i));
    try {
      switch (i % 5) {
        case 0:
          use(*make_tokenizer("sentencepiece", testing::damaged(model, random)));
          break;
        case 1:
          use(*make_tokenizer("gpt2", testing::damaged(json, random)));
          break;
        case 2:
          use(*make_tokenizer("gpt2", testing::damaged(split, random)));
          break;
        default: {
          const auto path = folder / (i % 5 == 3 ? "a.jsonl" : "a.gz");
          std::ofstream(path, std::ios::binary) << testing::damaged(i % 5 == 3 ? lines : zipped, random);
          TextReader reader({.files = {path}}, [](std::string_view text) { return text.size(); });
          TextPart part;
          while (reader.next(part)) continue;
        }
      }
      ++accepted;
    } catch (const Error&) {
      ++refused;
    } catch (const std::exception& error) {
      std::printf("input %lld of seed %llu: %s\n", static_cast<long long>(i), static_cast<unsigned long long>(seed),
                  error.what());
      return 1;
    }
  }
  std::printf("%lld inputs: %lld accepted, %lld refused\n", static_cast<long long>(inputs), static_cast<long long>(accepted),
              static_cast<long long>(refused));
  return 0;
}

}  // namespace
}  // namespace lacuna

int main(int argc, char** argv) {
  const lacuna::testing::FuzzArguments arguments(argc, argv, 300);
  return lacuna::fuzz(arguments.inputs, arguments.seed);
}
