// Pre-tokenisation by a regular expression (PCRE2, compiled to machine code), for the patterns that tokenizer.json files carry.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>

#include "data/tokenizer/splitter.h"

namespace lacuna {

class PatternSplitter : public Splitter {
 public:
  // A piece is a match; what lies between matches is a piece too, unless `drop_unmatched`. The classes \p{L}, \p{N} and \s mean
  // those of unicode_classes.h. Throws Error(data) for a pattern that does not compile, and for one with other classes, whose
  // members differ between Unicode versions and engines.
  PatternSplitter(const std::string& pattern, bool drop_unmatched);
  ~PatternSplitter() override;

  // Throws Error(data) when the pattern needs more than a bounded number of steps on this text.
  void split(std::string_view text, std::vector<Piece>& pieces) const override;

 private:
  struct Code;
  std::string with_stand_ins(std::string_view text) const;

  std::unique_ptr<Code> code_;
  bool drop_unmatched_;
  // Where PCRE2's Unicode tables differ from ours, a character is matched as another one of the same length and of the right
  // class.
  std::unordered_map<uint32_t, uint32_t> stand_ins_;
};

}  // namespace lacuna
