#include "data/name_pattern.h"

#include <algorithm>
#include <set>

#include "data/error.h"

namespace lacuna {

NamePattern::NamePattern(const std::string& pattern) : pattern_(pattern) {
  const auto refuse = [&](const std::string& why) {
    throw usage_error("--labels '" + pattern + "' " + why + ". An example: --labels '{digit}_{speaker}_{index}'");
  };
  folders_ = static_cast<size_t>(std::count(pattern.begin(), pattern.end(), '/'));
  size_t at = 0;
  while (true) {
    const size_t open = pattern.find('{', at);
    between_.push_back(pattern.substr(at, open == std::string::npos ? open : open - at));
    if (between_.back().find('}') != std::string::npos) refuse("closes a brace that is not open");
    if (open == std::string::npos) break;
    if (open == at && at > 0) refuse("has two fields with nothing between them");
    const size_t close = pattern.find('}', open);
    if (close == std::string::npos) refuse("has a brace that is not closed");
    const auto name = pattern.substr(open + 1, close - open - 1);
    if (name.find_first_of("{/") != std::string::npos) refuse("has a brace or a slash inside a field");
    kept_.push_back(!name.empty());
    if (!name.empty()) labels_.push_back(name);
    at = close + 1;
  }
  if (labels_.empty()) refuse("names no label");
  if (std::set(labels_.begin(), labels_.end()).size() != labels_.size()) refuse("names a label twice");
}

std::vector<std::string> NamePattern::match(const std::filesystem::path& file) const {
  std::string name = file.stem().string();
  auto folder = std::filesystem::absolute(file).parent_path();
  for (size_t i = 0; i < folders_; ++i, folder = folder.parent_path()) name = folder.filename().string() + "/" + name;
  const auto refuse = [&] {
    return data_error(file.string() + ": its name does not fit --labels '" + pattern_ +
                      "'. Rename or leave out the file, or change the "
                      "pattern.");
  };
  if (name.compare(0, between_[0].size(), between_[0]) != 0) throw refuse();
  std::vector<std::string> words;
  size_t at = between_[0].size();
  for (size_t field = 0; field < kept_.size(); ++field) {
    const auto& after = between_[field + 1];
    const bool last = field + 1 == kept_.size();
    size_t end = name.size();
    if (last) {
      if (name.size() < at + after.size() || name.compare(name.size() - after.size(), after.size(), after) != 0) throw refuse();
      end -= after.size();
    } else if (end = name.find(after, at); end == std::string::npos) {
      throw refuse();
    }
    if (end == at || name.find('/', at) < end) throw refuse();
    if (kept_[field]) words.push_back(name.substr(at, end - at));
    at = end + after.size();
  }
  return words;
}

}  // namespace lacuna
