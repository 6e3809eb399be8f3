#include "data/tokenizer/byte_pair.h"

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>

#include <algorithm>

#include "data/error.h"
#include "data/tokenizer/byte_letters.h"
#include "data/tokenizer/pattern_splitter.h"
#include "data/tokenizer/utf8.h"

namespace lacuna {
namespace {

constexpr int32_t kMaxVocabulary = 1 << 21;
constexpr std::string_view kEndNames[] = {"<|endoftext|>", "<|end_of_text|>", "</s>"};

constexpr std::string_view kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

bool is_ascii_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

const icu::Normalizer2& composer() {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* normalizer = icu::Normalizer2::getNFCInstance(status);
  if (U_FAILURE(status)) throw Error(ExitCode::internal, std::string("ICU has no NFC normalizer: ") + u_errorName(status));
  return *normalizer;
}

std::string composed(std::string_view text) {
  UErrorCode status = U_ZERO_ERROR;
  std::string out;
  icu::StringByteSink<std::string> sink(&out);
  composer().normalizeUTF8(0, icu::StringPiece(text.data(), static_cast<int32_t>(text.size())), sink, nullptr, status);
  if (U_FAILURE(status)) throw data_error(std::string("The text cannot be brought into NFC: ") + u_errorName(status));
  return out;
}

}  // namespace

BytePairTokenizer::BytePairTokenizer(BytePairModel model, const std::string& where)
    : model_(std::move(model)), merges_(model_.merges.size()) {
  number_tokens(where);
  read_merges(where);
  find_end_token();
  if (model_.pattern.empty() || model_.pattern == kGpt2Pattern) {
    splitter_ = std::make_unique<Gpt2Splitter>();
  } else {
    splitter_ = std::make_unique<PatternSplitter>(model_.pattern, model_.drop_unmatched);
  }
  can_cut_ = model_.pattern.empty() || model_.pattern == kGpt2Pattern || model_.pattern == kLlama3Pattern ||
             model_.pattern == kQwen2Pattern;
  for (const AddedToken& token : model_.added) {
    for (size_t i = 1; i < token.content.size(); ++i) can_cut_ = can_cut_ && !is_cut(token.content, i);
  }
  letters_id_.clear();
}

void BytePairTokenizer::number_tokens(const std::string& where) {
  const auto place = [&](int32_t id, std::string text) {
    if (id >= kMaxVocabulary) throw data_error(where + ": token id " + std::to_string(id) + " is larger than any vocabulary's.");
    if (static_cast<size_t>(id) >= text_of_.size()) text_of_.resize(id + 1);
    text_of_[id] = std::move(text);
  };
  std::vector<bool> used(kMaxVocabulary);
  for (const auto& [token, id] : model_.vocabulary) {
    place(id, bytes_of_letters(token).value_or(token));
    if (used[id]) throw data_error(where + ": two tokens have the id " + std::to_string(id) + ". Get the vocabulary again.");
    used[id] = true;
    letters_id_[token] = id;
    if (model_.ignore_merges) {
      if (const auto bytes = bytes_of_letters(token)) whole_[*bytes] = id;
    }
  }
  // The longest comes first, as matching wants it.
  std::stable_sort(model_.added.begin(), model_.added.end(),
                   [](const AddedToken& a, const AddedToken& b) { return a.content.size() > b.content.size(); });
  for (const AddedToken& token : model_.added) {
    const auto known = letters_id_.find(token.content);
    if (known == letters_id_.end() ? token.id < kMaxVocabulary && used[token.id] : known->second != token.id) {
      throw data_error(where + ": the added token \"" + token.content +
                       "\" has the id of another token. Get the vocabulary again.");
    }
    place(token.id, token.special ? "" : token.content);
    used[token.id] = true;
    letters_id_[token.content] = token.id;
    starts_added_[static_cast<unsigned char>(token.content[0])] = true;
  }
  for (uint32_t byte = 0; byte < 256; ++byte) {
    const auto found = letters_id_.find(letter_of_byte(static_cast<uint8_t>(byte)));
    if (found == letters_id_.end()) {
      throw data_error(where + ": not a byte-level vocabulary, the byte " + std::to_string(byte) +
                       " has no token. Use GPT-2's vocab.json and merges.txt, or --tokenizer sentencepiece.");
    }
    byte_id_[byte] = found->second;
  }
}

void BytePairTokenizer::read_merges(const std::string& where) {
  const auto id_of = [&](const std::string& token) {
    const auto found = letters_id_.find(token);
    if (found == letters_id_.end()) {
      throw data_error(where + ": a merge names \"" + token +
                       "\", which is not in the vocabulary. Take both from the same model.");
    }
    return found->second;
  };
  uint32_t rank = 0;
  for (const auto& [left, right] : model_.merges) merges_.add(id_of(left), id_of(right), {rank++, id_of(left + right)});
}

void BytePairTokenizer::find_end_token() {
  for (std::string_view name : kEndNames) {
    const auto found = letters_id_.find(std::string(name));
    if (found == letters_id_.end()) continue;
    end_token_ = found->second;
    text_of_[end_token_].clear();
    return;
  }
  end_token_ = static_cast<int32_t>(text_of_.size());
  text_of_.emplace_back();
}

void BytePairTokenizer::encode(std::string_view text, std::vector<int32_t>& out) const {
  Scratch scratch;
  const std::optional<std::string> replaced = replace_invalid_utf8(text);
  encode_sections(replaced ? *replaced : text, false, scratch, out);
}

// Added tokens that stand in the text as it is come first, those that stand in its normalised form second, and what lies between
// them is plain text.
void BytePairTokenizer::encode_sections(std::string_view text, bool normalized, Scratch& scratch,
                                        std::vector<int32_t>& out) const {
  const auto plain = [&](std::string_view section) {
    if (section.empty()) return;
    if (normalized) return encode_section(section, scratch, out);
    if (model_.compose) return encode_sections(composed(section), true, scratch, out);
    encode_sections(section, true, scratch, out);
  };
  size_t begin = 0;
  for (size_t at = 0; !model_.added.empty() && at < text.size(); ++at) {
    if (!starts_added_[static_cast<unsigned char>(text[at])]) continue;
    const auto found = std::find_if(model_.added.begin(), model_.added.end(), [&](const AddedToken& token) {
      return token.normalized == normalized && text.substr(at).starts_with(token.content);
    });
    if (found == model_.added.end()) continue;
    plain(text.substr(begin, at - begin));
    out.push_back(found->id);
    begin = at + found->content.size();
    at = begin - 1;
  }
  plain(text.substr(begin));
}

void BytePairTokenizer::encode_section(std::string_view text, Scratch& scratch, std::vector<int32_t>& out) const {
  std::string prefixed;
  if (model_.add_prefix_space && text[0] != ' ') {
    prefixed.reserve(text.size() + 1);
    prefixed.append(" ").append(text);
    text = prefixed;
  }
  scratch.pieces.clear();
  splitter_->split(text, scratch.pieces);
  for (const Piece& piece : scratch.pieces) encode_piece(text.substr(piece.begin, piece.end - piece.begin), scratch, out);
}

void BytePairTokenizer::encode_piece(std::string_view piece, Scratch& scratch, std::vector<int32_t>& out) const {
  if (piece.size() == 1) {
    out.push_back(byte_id_[static_cast<unsigned char>(piece[0])]);
    return;
  }
  if (const auto known = cache_.find(piece); !known.empty()) {
    out.insert(out.end(), known.begin(), known.end());
    return;
  }
  std::vector<int32_t>& tokens = scratch.tokens;
  tokens.clear();
  const auto whole = model_.ignore_merges ? whole_.find(std::string(piece)) : whole_.end();
  if (whole != whole_.end()) {
    tokens.push_back(whole->second);
  } else {
    for (char c : piece) tokens.push_back(byte_id_[static_cast<unsigned char>(c)]);
    scratch.merger.merge(merges_, tokens);
  }
  cache_.insert(piece, tokens);
  out.insert(out.end(), tokens.begin(), tokens.end());
}

std::string BytePairTokenizer::decode(std::span<const int32_t> tokens) const {
  std::string text;
  for (int32_t token : tokens) {
    if (token >= 0 && static_cast<size_t>(token) < text_of_.size()) text += text_of_[token];
  }
  return text;
}

// 0 < at < text.size(). Each known pattern ends a piece at a letter that a space and a letter follow, and at a line break that
// something other than white space follows; there a prefix space would be added to the second part.
bool BytePairTokenizer::is_cut(std::string_view text, size_t at) const {
  const char left = text[at - 1], right = text[at];
  if (right == ' ') return is_ascii_letter(left) && at + 1 < text.size() && is_ascii_letter(text[at + 1]);
  return left == '\n' && right > ' ' && right < 0x7f && !model_.add_prefix_space;
}

size_t BytePairTokenizer::safe_cut(std::string_view text) const {
  if (!can_cut_ || text.empty()) return 0;
  for (size_t at = text.size() - 1; at > 0; --at) {
    if (is_cut(text, at)) return at;
  }
  return 0;
}

}  // namespace lacuna
