#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>

#include "data/error.h"
#include "trainer/model/byte_word.h"

namespace lacuna {

// Continues prompts whose words close on their way: the decoder reads each byte once, with caches that last for a word; a word
// that has closed is encoded, and the backbone reads it once, with caches that last for the row. Rows have their own words, so
// each is continued by itself.
class ByteWordGeneration : public Generation {
 public:
  ByteWordGeneration(const ByteWord& network, int64_t rows) : network_(network) {
    for (int64_t i = 0; i < rows; ++i) rows_.push_back(make_row());
  }

  int64_t length() const override { return rows_.front().words.length(); }

  at::Tensor advance(const at::Tensor& tokens) override {
    const torch::NoGradGuard no_grad;
    if (length() + tokens.size(1) > network_.max_length_) throw usage_error("the text is longer than the network's rows");
    const auto given = tokens.cpu().contiguous();
    std::vector<at::Tensor> logits;
    for (size_t i = 0; i < rows_.size(); ++i) {
      const auto* token = given.const_data_ptr<int32_t>() + static_cast<int64_t>(i) * given.size(1);
      for (int64_t t = 0; t < given.size(1); ++t) read(rows_[i], token[t]);
      logits.push_back(network_.head_->logits(decode(rows_[i])));
    }
    return at::cat(logits);
  }

 private:
  struct Row {
    RowWords words;
    std::vector<int32_t> word;  // the tokens of the word that is open
    size_t decoded = 0;         // of them, the decoder has read so many
    at::Tensor head = {};       // (1, 1, d) of the open word, until the decoder has read it
    std::vector<KeyValueCache> backbone, decoder;
  };

  // Caches of a stack of blocks for `capacity` positions.
  std::vector<KeyValueCache> caches(const ByteWord::Part& part, int64_t num_heads, int64_t size, int64_t capacity) const {
    std::vector<KeyValueCache> all(part.blocks.size());
    for (auto& cache : all) {
      cache.keys =
          at::empty({1, num_heads / network_.mesh_.tensor().size(), capacity, size / num_heads}, network_.mark_.options());
      cache.values = at::empty_like(cache.keys);
    }
    return all;
  }

  Row make_row() const {
    const auto& o = network_.options_;
    const auto limits = network_.limits();
    return {.words = RowWords(limits),
            .word = {},
            .backbone = caches(network_.backbone_, o.num_heads, o.hidden_size, limits.max_words),
            .decoder = caches(network_.decoder_, o.character_heads, o.character_size, limits.max_bytes + 1)};
  }

  at::Tensor counted(int64_t first, int64_t count) const {
    return at::arange(first, first + count, network_.mark_.options().dtype(at::kInt));
  }

  at::Tensor bytes(const int32_t* tokens, size_t count) const {
    const auto ids = at::empty({1, static_cast<int64_t>(count)}, at::kInt);
    std::copy_n(tokens, count, ids.data_ptr<int32_t>());
    return network_.embed(ids.to(network_.mark_.device()));
  }

  void read(Row& row, int32_t token) const {
    const int64_t before = row.words.num_words();
    if (row.words.take(token) == before) open(row);
    row.word.push_back(token);
  }

  // A word begins: the one before it, or the start, goes to the backbone, which says what the decoder reads first.
  void open(Row& row) const {
    auto read = network_.start_.view({1, 1, -1});
    if (!row.word.empty()) {
      const auto slots = at::cat({network_.mark_.view({1, 1, -1}), bytes(row.word.data(), row.word.size())}, 1);
      const ByteWord::Pass reading{{.causal = false, .scores = {}}, network_.character_angles(counted(0, slots.size(1)))};
      read = network_.to_word(network_.run(network_.encoder_, slots, reading).narrow(1, 0, 1));
    }
    const ByteWord::Pass thinking{
        {.causal = false, .scores = {}}, network_.word_angles(counted(row.backbone.front().length, 1)), {}, &row.backbone};
    row.head = network_.to_bytes(network_.run(network_.backbone_, read, thinking));
    row.word.clear();
    row.decoded = 0;
    for (auto& cache : row.decoder) cache.length = 0;
  }

  // The state (1, d) at the row's last byte.
  at::Tensor decode(Row& row) const {
    auto slots = bytes(row.word.data() + row.decoded, row.word.size() - row.decoded);
    if (row.head.defined()) slots = at::cat({row.head, slots}, 1);
    row.head.reset();
    row.decoded = row.word.size();
    const int64_t start = row.decoder.front().length, count = slots.size(1);
    // Several at once only where nothing is cached; else one, which sees all.
    if (start > 0 && count > 1) throw std::logic_error("after the prompt, tokens are read one at a time");
    const ByteWord::Pass writing{
        {.causal = true, .scores = {}}, network_.character_angles(counted(start, count)), {}, &row.decoder};
    const auto decoded = network_.run(network_.decoder_, slots, writing);
    return decoded.select(1, count - 1);
  }

  const ByteWord& network_;
  std::vector<Row> rows_;
};

std::unique_ptr<Generation> ByteWord::generate(int64_t rows) { return std::make_unique<ByteWordGeneration>(*this, rows); }

}  // namespace lacuna
