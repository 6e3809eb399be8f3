#define PCRE2_CODE_UNIT_WIDTH 8
#include "data/tokenizer/pattern_splitter.h"

#include <pcre2.h>

#include <array>

#include "data/error.h"
#include "data/tokenizer/unicode_classes.h"
#include "data/tokenizer/utf8.h"

namespace lacuna {
namespace {

constexpr uint32_t kMatchLimit = 100'000'000;
constexpr size_t kJitStackLimit = 16 << 20;

template <auto Free>
struct Deleter {
  void operator()(auto* pointer) const { Free(pointer); }
};
using CodeHandle = std::unique_ptr<pcre2_code, Deleter<pcre2_code_free>>;
using MatchHandle = std::unique_ptr<pcre2_match_data, Deleter<pcre2_match_data_free>>;
using ContextHandle = std::unique_ptr<pcre2_match_context, Deleter<pcre2_match_context_free>>;
using StackHandle = std::unique_ptr<pcre2_jit_stack, Deleter<pcre2_jit_stack_free>>;

std::string message_of(int error) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(error, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

CodeHandle compile(const std::string& pattern) {
  int error = 0;
  size_t where = 0;
  CodeHandle code(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &where, nullptr));
  if (!code) {
    throw data_error("The tokenizer's pattern does not compile: " + message_of(error) + ", at character " +
                     std::to_string(where) + " of " + pattern);
  }
  pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);
  return code;
}

// Calls on_match(begin, end) for each match that is not empty.
template <class OnMatch>
void for_each_match(const pcre2_code* code, std::string_view text, OnMatch on_match) {
  const MatchHandle match(pcre2_match_data_create_from_pattern(code, nullptr));
  const ContextHandle context(pcre2_match_context_create(nullptr));
  const StackHandle stack(pcre2_jit_stack_create(32 << 10, kJitStackLimit, nullptr));
  if (!match || !context || !stack) throw std::bad_alloc();
  pcre2_set_match_limit(context.get(), kMatchLimit);
  pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
  for (size_t at = 0; at < text.size();) {
    const int found = pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), at,
                                  PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY, match.get(), context.get());
    if (found == PCRE2_ERROR_NOMATCH) return;
    if (found < 0) {
      throw data_error("The tokenizer's pattern failed on this text at byte " + std::to_string(at) + ": " + message_of(found) +
                       ". Prepare the text in smaller documents, or use another tokenizer.");
    }
    const size_t* bounds = pcre2_get_ovector_pointer(match.get());
    on_match(bounds[0], bounds[1]);
    at = bounds[1];
  }
}

// Refuses what means something else, or another set of characters, to the engine that the pattern was written for.
void check_classes(const std::string& pattern) {
  for (const std::string_view syntax : {"[:", "&&", "(*"}) {
    if (pattern.find(syntax) != std::string::npos) {
      throw data_error("The tokenizer's pattern uses " + std::string(syntax) + ", which is not supported: " + pattern);
    }
  }
  for (size_t i = 0; i + 1 < pattern.size(); ++i) {
    if (pattern[i] != '\\') continue;
    const char kind = pattern[++i];
    std::string_view rest = std::string_view(pattern).substr(i + 1);
    const bool known_property = rest.starts_with("{L}") || rest.starts_with("{N}");
    const bool refused = ((kind == 'p' || kind == 'P') && !known_property) ||
                         std::string_view("wWdDbBhHvVRXKGC").find(kind) != std::string_view::npos;
    if (refused) {
      throw data_error(
          "The tokenizer's pattern uses \\" + std::string(1, kind) + std::string(rest.substr(0, rest.find('}') + 1)) +
          "; of the character classes only \\p{L}, \\p{N} and \\s are supported. Use a tokenizer.json with the pattern "
          "of GPT-2, Llama 3 or Qwen 2, or --tokenizer sentencepiece.");
    }
  }
}

// Which class PCRE2 gives to each code point.
std::vector<CharClass> classes_of_pcre2() {
  std::string every;
  std::vector<uint32_t> code_point_of;  // by byte of `every`
  for (uint32_t c = 0; c < kNumCodePoints; ++c) {
    if (c >= 0xd800 && c < 0xe000) continue;
    append_utf8(c, every);
    code_point_of.resize(every.size(), c);
  }
  std::vector<CharClass> classes(kNumCodePoints, CharClass::other);
  for (const auto& [pattern, value] :
       {std::pair("\\p{L}+", CharClass::letter), {"\\p{N}+", CharClass::number}, {"\\s+", CharClass::space}}) {
    for_each_match(compile(pattern).get(), every, [&](size_t begin, size_t end) {
      for (size_t i = begin; i < end; ++i) classes[code_point_of[i]] = value;
    });
  }
  return classes;
}

uint32_t utf8_length(uint32_t c) { return c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4; }

// For each code point that PCRE2 puts into another class than we do: one of the same length in UTF-8 on which both agree, without
// other cases. A length that has no such one keeps the character.
std::unordered_map<uint32_t, uint32_t> find_stand_ins() {
  const std::vector<CharClass> theirs = classes_of_pcre2();
  const CharClass* ours = char_classes();
  std::unordered_map<uint32_t, uint32_t> stand_ins;
  for (uint32_t c = 0x80; c < kNumCodePoints; ++c) {
    if (theirs[c] == ours[c]) continue;
    for (uint32_t candidate : {0x1bbu, 0xb2u, 0xa1u, 0xa0u, 0x4e00u, 0x2460u, 0x2010u, 0x2003u, 0x20000u, 0x1f100u, 0x1f300u}) {
      if (utf8_length(candidate) == utf8_length(c) && ours[candidate] == ours[c] && theirs[candidate] == ours[c]) {
        stand_ins[c] = candidate;
      }
    }
  }
  return stand_ins;
}

}  // namespace

struct PatternSplitter::Code {
  CodeHandle handle;
};

PatternSplitter::PatternSplitter(const std::string& pattern, bool drop_unmatched) : drop_unmatched_(drop_unmatched) {
  check_classes(pattern);
  code_ = std::make_unique<Code>(Code{compile(pattern)});
  stand_ins_ = find_stand_ins();
}

PatternSplitter::~PatternSplitter() = default;

// Empty when the text needs none.
std::string PatternSplitter::with_stand_ins(std::string_view text) const {
  std::string out;
  size_t copied = 0;
  for (size_t at = 0; at < text.size();) {
    const CodePoint c = code_point_at(text, at);
    if (c.length > 1) {
      if (const auto found = stand_ins_.find(c.value); found != stand_ins_.end()) {
        out.append(text, copied, at - copied);
        append_utf8(found->second, out);
        copied = at + c.length;
      }
    }
    at += c.length;
  }
  if (copied > 0) out.append(text, copied);
  return out;
}

void PatternSplitter::split(std::string_view text, std::vector<Piece>& pieces) const {
  const std::string replaced = with_stand_ins(text);
  size_t done = 0;
  const auto gap = [&](size_t end) {
    if (done < end && !drop_unmatched_) pieces.push_back({done, end});
  };
  for_each_match(code_->handle.get(), replaced.empty() ? text : replaced, [&](size_t begin, size_t end) {
    gap(begin);
    pieces.push_back({begin, end});
    done = end;
  });
  gap(text.size());
}

}  // namespace lacuna
