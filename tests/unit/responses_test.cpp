// Prompts with their responses: the corpus that tells them apart, and the objectives that read what it tells.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "data/corpus_writer.h"
#include "data/hdf5_corpus.h"
#include "data/prepare.h"
#include "data/prompt.h"
#include "data/tokenizer/bytes.h"
#include "objectives/mask_enhanced.h"
#include "objectives/prefix_language.h"
#include "tests/support/expect_error.h"
#include "tests/support/rows.h"
#include "tests/support/temporary_folder.h"

namespace lacuna {
namespace {

using testing::expect_error;
using testing::row_of;
using testing::TemporaryFolder;

std::filesystem::path write(const TemporaryFolder& folder, const std::string& text) {
  std::ofstream(folder / "p.jsonl") << text;
  return folder / "p.jsonl";
}

TEST(Prompts, BecomeDocumentsThatTellTheirResponses) {
  const TemporaryFolder folder;
  const auto file =
      write(folder, "{\"prompt\": \"2+2=\", \"response\": \"4\"}\n\n{\"response\": \"b!\", \"prompt\": \"a \", \"other\": 1}\n");
  const auto report = prepare_text({.prompts = {file}, .out = folder / "p.h5"}, false);
  EXPECT_EQ(report.train.documents, 2);
  EXPECT_EQ(report.train.tokens, 6 + 5);
  EXPECT_TRUE(Hdf5Corpus::open_spec(folder / "p.h5").responses);
  const Hdf5Corpus corpus(folder / "p.h5", 11, 10);
  corpus.verify();
  const auto sample = corpus.at(0);
  EXPECT_EQ(sample.responses, (std::vector<uint8_t>{0, 0, 0, 0, 1, 1, 0, 1, 1, 1, 1})) << "the space goes to the response";
  EXPECT_EQ(sample.tokens[5], 256);
  EXPECT_EQ(Hdf5File::open(folder / "p.h5").integer("format_version"), 2);
}

TEST(Prompts, MistakesNameTheirLine) {
  const TemporaryFolder folder;
  const auto refused = [&](const std::string& line, const std::string& words) {
    const auto file = write(folder, "{\"prompt\": \"a\", \"response\": \"b\"}\n" + line);
    expect_error(ExitCode::data, "p.jsonl:2: " + words,
                 [&] { prepare_text({.prompts = {file}, .out = folder / "p.h5"}, false); });
  };
  refused("{\"prompt\": \"a\"}", "no text in the field \"response\"");
  refused("{\"prompt\": \"a\", \"response\": \"\"}", "the field \"response\" is empty");
  refused("{\"prompt\"", "not valid JSON");
  expect_error(ExitCode::usage, "--text FILE... or --prompts FILE...", [&] { prepare_text({.out = folder / "x.h5"}, false); });
  expect_error(ExitCode::usage, "does not train a sentencepiece model", [&] {
    prepare_text({.prompts = {write(folder, "")}, .tokenizer = "sentencepiece", .out = folder / "x.h5"}, false);
  });
}

// Documents of 4 tokens, the last two of which are the response, but document 3, which has 12.
std::filesystem::path written(const TemporaryFolder& folder) {
  CorpusWriter writer(folder / "c.h5", 251);
  for (int32_t d = 0; d < 6; ++d) {
    const size_t size = d == 3 ? 12 : 4;
    std::vector<int32_t> tokens(size, 10 * d);
    std::vector<uint8_t> responses(size, 0);
    responses[size - 1] = responses[size - 2] = 1;
    writer.add_document(tokens, 4, responses);
  }
  writer.finish("none", "");
  return folder / "c.h5";
}

TEST(Responses, SamplesBeginWithDocumentsAndCountNoResponseWithoutItsPrompt) {
  const TemporaryFolder folder;
  const Hdf5Corpus corpus(written(folder), 10, 9);
  const auto expect = [&](int64_t i, std::vector<int32_t> tokens, std::vector<uint8_t> responses) {
    EXPECT_EQ(corpus.at(i).tokens, tokens) << i;
    EXPECT_EQ(corpus.at(i).responses, responses) << i;
  };
  ASSERT_EQ(corpus.size(), 4);
  expect(0, {0, 0, 0, 0, 10, 10, 10, 10, 20, 20}, {0, 0, 1, 1, 0, 0, 1, 1, 0, 0});
  expect(1, {20, 20, 20, 20, 30, 30, 30, 30, 30, 30}, {0, 0, 1, 1, 0, 0, 0, 0, 0, 0});
  expect(2, {30, 30, 30, 30, 30, 30, 30, 30, 30, 30}, {0, 0, 0, 0, 0, 0, 0, 0, 1, 1});
  expect(3, {30, 30, 40, 40, 40, 40, 50, 50, 50, 50}, {0, 0, 0, 0, 1, 1, 0, 0, 1, 1});
  EXPECT_EQ(Hdf5Corpus(folder / "c.h5", 100, 99).size(), 0);
}

TEST(Responses, AreOfAllDocumentsOrOfNone) {
  const TemporaryFolder folder;
  CorpusWriter writer(folder / "c.h5", 251);
  const std::vector<int32_t> tokens{1, 2};
  writer.add_document(tokens, 2);
  const std::vector<uint8_t> responses{0, 1};
  expect_error(ExitCode::internal, "or none does", [&] { writer.add_document(tokens, 2, responses); });
}

constexpr int64_t kLength = 12;
constexpr int32_t kEnd = 99;
const RowContext kContext{.length = kLength, .tokenizer_size = 100, .end_token = kEnd};

// Two prompts: 1 2 3 -> 4 E, and 6 7 -> 8 9 10 11 E; then one that the row cuts off.
Sample prompts(int64_t position = 5) {
  return {.position = position,
          .tokens = {1, 2, 3, 4, kEnd, 6, 7, 8, 9, 10, 11, kEnd, 12},
          .document_starts = {0, 5, 12},
          .responses = {0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 1, 1, 0}};
}

TEST(NextToken, LossOnTheResponseAlone) {
  const NextToken objective({.loss_on = LossOn::response}, kContext);
  EXPECT_TRUE(objective.needs().responses);
  EXPECT_FALSE(NextToken({}, kContext).needs().responses);
  const std::vector samples{prompts()};
  const auto batch = objective.prepare(samples, Random(1, 2));
  EXPECT_EQ(row_of<float>(batch.weights, 0), (std::vector<float>{0, 0, 1, 1, 0, 0, 1, 1, 1, 1, 1, 0}));
  EXPECT_EQ(batch.target_count, 7);
  EXPECT_EQ(NextToken({}, kContext).prepare(samples, Random(1, 2)).target_count, 12);

  auto untold = prompts();
  untold.responses.clear();
  const std::vector plain{untold};
  expect_error(ExitCode::data, "lacuna prepare --prompts", [&] { objective.prepare(plain, Random(1, 2)); });
  EXPECT_EQ(objective.prepare_clean(plain, Random(1, 2)).target_count, 12) << "validation text weighs whole";
  EXPECT_EQ(objective.prepare_clean(samples, Random(1, 2)).target_count, 7);
}

TEST(MaskEnhanced, FineTuningMasksACopyOfLongResponses) {
  constexpr int64_t kLong = 140;
  RowContext context{.length = kLong, .tokenizer_size = 100, .end_token = kEnd};
  const MaskEnhanced objective({.mask_ratio = 0.1, .fine_tuning = true}, context);
  // A prompt of 10, a response of 61 and its end; a prompt of 10, a response of 50 and its end; the rest is cut off.
  Sample sample{.position = 4, .tokens = {}, .document_starts = {0, 72, 133}};
  for (const auto& [prompt, response] : {std::pair{10, 61}, {10, 50}}) {
    for (int i = 0; i < prompt + response; ++i) sample.tokens.push_back(i % 90), sample.responses.push_back(i >= prompt);
    sample.tokens.push_back(kEnd), sample.responses.push_back(1);
  }
  while (static_cast<int64_t>(sample.tokens.size()) < kLong + 1) sample.tokens.push_back(7), sample.responses.push_back(0);
  const std::vector samples{sample};
  const auto batch = objective.prepare(samples, Random(1, 2));
  ASSERT_EQ(batch.rows(), 2);
  EXPECT_EQ(row_of<int64_t>(batch.stream_positions, 0).size(), 1u);
  EXPECT_EQ(batch.stream_positions[0].item<int64_t>(), 8);
  EXPECT_EQ(batch.stream_positions[1].item<int64_t>(), 9);
  const auto clean = row_of<float>(batch.weights, 0), masked = row_of<float>(batch.weights, 1);
  EXPECT_EQ(std::count(clean.begin(), clean.end(), 1.0f), 62 + 51);
  EXPECT_EQ(std::count(masked.begin(), masked.end(), 1.0f), 6) << "floor(0.1 * 61); fifty are too few";
  EXPECT_EQ(batch.target_count, 62 + 51 + 6);
  const auto shown = row_of<int32_t>(batch.tokens, 1), targets = row_of<int32_t>(batch.targets, 1);
  for (int64_t t = 0; t < kLong; ++t) {
    const auto i = static_cast<size_t>(t);
    const bool is_mask = shown[i] == 100;
    EXPECT_EQ(is_mask, t > 0 && masked[i - 1] == 1.0f) << "a masked token is predicted from the slot before it";
    if (is_mask) {
      EXPECT_TRUE(t >= 10 && t < 71) << "inside the long response";
      EXPECT_EQ(targets[i - 1], sample.tokens[i]);
    } else {
      EXPECT_EQ(shown[i], sample.tokens[i]);
    }
    EXPECT_NE(targets[i], 100);
  }
  EXPECT_TRUE(at::equal(objective.prepare(samples, Random(1, 2)).tokens, batch.tokens));
  EXPECT_EQ(objective.prepare_clean(samples, Random(1, 2)).rows(), 1);
}

TEST(PrefixLanguage, PromptsAreSeenWholeAndResponsesPredicted) {
  RowContext context = kContext;
  context.visibility = Visibility::prefix;
  const PrefixLanguage objective({.split = PrefixSplit::response}, context);
  const std::vector samples{prompts()};
  const auto batch = objective.prepare(samples, Random(1, 2));
  EXPECT_EQ(row_of<float>(batch.weights, 0), (std::vector<float>{0, 0, 1, 1, 0, 0, 1, 1, 1, 1, 1, 0}));
  EXPECT_EQ(row_of<bool>(batch.bidirectional, 0), (std::vector<bool>{1, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0}));
  EXPECT_EQ(row_of<int32_t>(batch.segments, 0), (std::vector<int32_t>{1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2}));
  EXPECT_EQ(batch.target_count, 7);
}

TEST(PrefixLanguage, AnEncoderReadsPromptsAndTheDecoderWritesResponses) {
  RowContext context = kContext;
  context.encoder = true;
  const PrefixLanguage objective({.split = PrefixSplit::response}, context);
  EXPECT_EQ(objective.sample_length(), kLength + 1);
  const std::vector samples{prompts()};
  const auto batch = objective.prepare(samples, Random(1, 2));
  EXPECT_EQ(row_of<int32_t>(batch.encoder_tokens, 0), (std::vector<int32_t>{1, 2, 3, 6, 7, 12, 0, 0, 0, 0, 0, 0}));
  EXPECT_EQ(row_of<int32_t>(batch.encoder_segments, 0), (std::vector<int32_t>{1, 1, 1, 2, 2, 3, 0, 0, 0, 0, 0, 0}));
  EXPECT_EQ(row_of<int32_t>(batch.encoder_positions, 0), (std::vector<int32_t>{0, 1, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0}));
  EXPECT_EQ(row_of<int32_t>(batch.tokens, 0), (std::vector<int32_t>{3, 4, 7, 8, 9, 10, 11, 0, 0, 0, 0, 0}));
  EXPECT_EQ(row_of<int32_t>(batch.targets, 0), (std::vector<int32_t>{4, kEnd, 8, 9, 10, 11, kEnd, 0, 0, 0, 0, 0}));
  EXPECT_EQ(row_of<int32_t>(batch.segments, 0), (std::vector<int32_t>{1, 1, 2, 2, 2, 2, 2, 0, 0, 0, 0, 0}));
  EXPECT_EQ(row_of<int32_t>(batch.positions, 0), (std::vector<int32_t>{0, 1, 0, 1, 2, 3, 4, 0, 0, 0, 0, 0}));
  EXPECT_EQ(row_of<float>(batch.weights, 0), (std::vector<float>{1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0}));
  auto untold = prompts();
  untold.responses.clear();
  const std::vector plain{untold};
  const auto cut = objective.prepare_clean(plain, Random(1, 2));
  EXPECT_EQ(cut.encoder_segments.ne(0).sum().item<int64_t>() + static_cast<int64_t>(cut.target_count), 13);
}

}  // namespace
}  // namespace lacuna
