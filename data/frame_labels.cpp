#include "data/frame_labels.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "data/error.h"

namespace lacuna {
namespace {

bool is_whole_number(const std::string& word) {
  return !word.empty() && word.size() <= 18 && word.find_first_not_of("0123456789") == std::string::npos;
}

// Sorted as numbers where all are.
std::vector<std::string> sorted(std::vector<std::string> words) {
  if (std::all_of(words.begin(), words.end(), is_whole_number)) {
    std::sort(words.begin(), words.end(), [](const auto& a, const auto& b) {
      return std::pair(std::stoll(a), a.size()) < std::pair(std::stoll(b), b.size());
    });
  } else {
    std::sort(words.begin(), words.end());
  }
  return words;
}

}  // namespace

std::string json_of_labels(const std::vector<Label>& labels) {
  auto list = nlohmann::ordered_json::array();
  for (const auto& label : labels) list.push_back({{"name", label.name}, {"classes", label.classes}});
  return list.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::optional<std::vector<Label>> labels_of_json(std::string_view text) {
  const auto list = nlohmann::json::parse(text, nullptr, false);
  if (!list.is_array()) return std::nullopt;
  std::vector<Label> labels;
  std::set<std::string> names;
  for (const auto& entry : list) {
    if (!entry.is_object() || !entry.contains("name") || !entry["name"].is_string() || !entry.contains("classes") ||
        !entry["classes"].is_array()) {
      return std::nullopt;
    }
    Label label{.name = entry["name"].get<std::string>(), .classes = {}};
    std::set<std::string> classes;
    for (const auto& name : entry["classes"]) {
      if (!name.is_string() || !classes.insert(name.get<std::string>()).second) return std::nullopt;
      label.classes.push_back(name.get<std::string>());
    }
    if (label.name.empty() || !names.insert(label.name).second) return std::nullopt;
    labels.push_back(std::move(label));
  }
  return labels;
}

LabelTable::LabelTable(std::vector<std::string> names) : names_(std::move(names)), seen_(names_.size()) {
  if (std::set(names_.begin(), names_.end()).size() != names_.size()) throw usage_error("Two labels have one name.");
}

void LabelTable::add(std::span<const std::string> words) {
  if (words.size() != names_.size()) {
    throw Error(ExitCode::internal,
                std::to_string(words.size()) + " words were given for " + std::to_string(names_.size()) + " labels");
  }
  for (size_t i = 0; i < words.size(); ++i) {
    const auto number = words[i].empty() ? -1 : seen_[i].emplace(words[i], static_cast<int32_t>(seen_[i].size())).first->second;
    values_.push_back(number);
  }
}

LabelTable::Numbered LabelTable::numbered() const {
  Numbered result{.labels = {}, .values = values_};
  for (size_t i = 0; i < names_.size(); ++i) {
    std::vector<std::string> words;
    for (const auto& [word, number] : seen_[i]) words.push_back(word);
    words = sorted(std::move(words));
    std::vector<int32_t> place(words.size());
    for (size_t c = 0; c < words.size(); ++c) place[static_cast<size_t>(seen_[i].at(words[c]))] = static_cast<int32_t>(c);
    for (size_t v = i; v < result.values.size(); v += names_.size()) {
      if (result.values[v] >= 0) result.values[v] = place[static_cast<size_t>(result.values[v])];
    }
    result.labels.push_back({.name = names_[i], .classes = std::move(words)});
  }
  return result;
}

}  // namespace lacuna
