// What must hold of a sentencepiece model before the library sees it: the library trusts the files that it loads, and follows
// the offsets inside them wherever they lead. The file is a protocol buffer (sentencepiece_model.proto of the project).
#pragma once
#include <string>
#include <string_view>

namespace lacuna {

struct SentencepieceTraits {
  bool add_dummy_prefix = true;          // a space is set before the text
  bool remove_extra_whitespaces = true;  // and runs of spaces become one, none at the ends
  bool whitespace_is_suffix = false;     // spaces end pieces in place of beginning them
};

// Throws Error(data), naming `where`, unless all lengths fit, scores are finite, and no offset of the normalisation table leads
// out of it.
SentencepieceTraits check_sentencepiece_model(std::string_view model, const std::string& where);

}  // namespace lacuna
