// The labels of a corpus of frames: gathered by the words of each document, numbered at the end, and as JSON.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/corpus.h"

namespace lacuna {

// [{"name": "digit", "classes": ["0", "1"]}, ...]
std::string json_of_labels(const std::vector<Label>& labels);
// Nothing where the text is something else, or two labels or classes have one name.
std::optional<std::vector<Label>> labels_of_json(std::string_view text);

class LabelTable {
 public:
  LabelTable() = default;
  explicit LabelTable(std::vector<std::string> names);
  const std::vector<std::string>& names() const { return names_; }

  // One word per name, in their order; an empty one = unlabelled.
  void add(std::span<const std::string> words);
  struct Numbered {
    std::vector<Label> labels;    // classes in ascending order: as numbers where all are whole numbers, else as texts
    std::vector<int32_t> values;  // document by document, -1 = unlabelled
  };
  Numbered numbered() const;

 private:
  std::vector<std::string> names_;
  std::vector<std::map<std::string, int32_t>> seen_;  // word -> the order in which it came
  std::vector<int32_t> values_;
};

}  // namespace lacuna
