#include "data/tokenizer/sentencepiece_model.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <optional>

#include "data/error.h"

namespace lacuna {
namespace {

constexpr size_t kMaxPieces = 1 << 21;
constexpr size_t kMaxPieceBytes = 1 << 16;

[[noreturn]] void refuse(const std::string& what) { throw data_error(what); }

// One field of a message: its number and, by wire type, a value or bytes.
struct Field {
  uint64_t number = 0;
  uint64_t type = 0;  // 0 varint, 1 eight bytes, 2 length and bytes, 5 four bytes
  uint64_t value = 0;
  std::string_view bytes;
};

class Message {
 public:
  explicit Message(std::string_view data) : rest_(data) {}

  std::optional<Field> next() {
    if (rest_.empty()) return std::nullopt;
    const uint64_t key = varint();
    Field field{key >> 3, key & 7, 0, {}};
    switch (field.type) {
      case 0:
        field.value = varint();
        break;
      case 1:
        field.bytes = take(8);
        break;
      case 2:
        field.bytes = take(varint());
        break;
      case 5:
        field.bytes = take(4);
        break;
      default:
        refuse("a field of unknown kind");
    }
    return field;
  }

 private:
  std::string_view take(uint64_t size) {
    if (size > rest_.size()) refuse("a length that leads past the end");
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }
  uint64_t varint() {
    uint64_t value = 0;
    for (uint32_t shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1)[0]);
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    refuse("a number that does not end");
  }

  std::string_view rest_;
};

std::string_view bytes_of(const Field& field) {
  if (field.type != 2) refuse("a field of the wrong kind");
  return field.bytes;
}

uint32_t word_at(std::string_view data, size_t index) {
  uint32_t word;
  std::memcpy(&word, data.data() + index * sizeof(word), sizeof(word));
  return word;
}

void check_piece(std::string_view data) {
  Message message(data);
  while (const auto field = message.next()) {
    if (field->number == 1 && bytes_of(*field).size() > kMaxPieceBytes) refuse("a piece that is longer than any word");
    if (field->number == 2) {
      if (field->type != 5) refuse("a score of the wrong kind");
      if (!std::isfinite(std::bit_cast<float>(word_at(field->bytes, 0)))) refuse("a score that is not finite");
    }
  }
}

// The table that characters are normalised by: the size of a double-array trie (Yata et al., 2007; the layout is Darts-clone's),
// the trie's units of four bytes, and zero-ended texts that its values point to.
void check_normalisation_table(std::string_view table) {
  if (table.empty()) return;
  if (table.size() < sizeof(uint32_t)) refuse("a normalisation table without a size");
  const uint32_t trie_bytes = word_at(table, 0);
  table.remove_prefix(sizeof(uint32_t));
  if (trie_bytes % sizeof(uint32_t) != 0 || trie_bytes < sizeof(uint32_t) || trie_bytes >= table.size()) {
    refuse("a normalisation table of the wrong size");
  }
  const std::string_view trie = table.substr(0, trie_bytes), texts = table.substr(trie_bytes);
  if (texts.back() != '\0') refuse("a normalisation table whose texts do not end");
  const size_t num_units = trie.size() / sizeof(uint32_t);
  for (size_t i = 0; i < num_units; ++i) {
    const uint32_t unit = word_at(trie, i);
    if (unit >> 31) {  // a value
      continue;
    }
    // A step on character c leads from i to i ^ offset ^ c; a unit with a value finds it at i ^ offset.
    const size_t offset = static_cast<size_t>(unit >> 10) << ((unit & (1u << 9)) >> 6);
    if (((i ^ offset) | 0xff) >= num_units) refuse("a normalisation table that leads out of itself");
    const bool has_value = (unit >> 8) & 1;
    if (has_value && (word_at(trie, i ^ offset) & 0x7fffffff) >= texts.size())
      refuse("a normalisation that leads out of its table");
  }
}

void check_normalizer(std::string_view data, SentencepieceTraits* traits) {
  Message message(data);
  while (const auto field = message.next()) {
    if (field->number == 2) check_normalisation_table(bytes_of(*field));
    if (field->number == 3 && traits) traits->add_dummy_prefix = field->value != 0;
    if (field->number == 4 && traits) traits->remove_extra_whitespaces = field->value != 0;
  }
}

SentencepieceTraits check_model(std::string_view model) {
  SentencepieceTraits traits;
  size_t num_pieces = 0;
  Message message(model);
  while (const auto field = message.next()) {
    if (field->number == 1) {
      check_piece(bytes_of(*field));
      if (++num_pieces > kMaxPieces) refuse("more pieces than any vocabulary");
    } else if (field->number == 2) {
      Message trainer(bytes_of(*field));
      while (const auto entry = trainer.next()) {
        if (entry->number == 24) traits.whitespace_is_suffix = entry->value != 0;
      }
    } else if (field->number == 3 || field->number == 5) {
      check_normalizer(bytes_of(*field), field->number == 3 ? &traits : nullptr);
    }
  }
  if (num_pieces == 0) refuse("no pieces");
  return traits;
}

}  // namespace

SentencepieceTraits check_sentencepiece_model(std::string_view model, const std::string& where) {
  try {
    return check_model(model);
  } catch (const Error& error) {
    throw data_error(where + " is no sentencepiece model, or a damaged one: it holds " + error.what() +
                     ". Name a .model file with --vocabulary, or none to train one.");
  }
}

}  // namespace lacuna
