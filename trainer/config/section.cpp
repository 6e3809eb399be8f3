#include "trainer/config/section.h"

#include <algorithm>
#include <cmath>

#include "trainer/config/to_toml.h"
#include "trainer/config/toml_reader.h"

namespace lacuna {
namespace {

// The sections whose further keys depend on a `kind`.
constexpr std::array<std::string_view, 4> kSectionsOfKinds = {"objective", "architecture", "optimizer", "schedule"};

std::string join(const std::vector<std::string_view>& words) {
  std::string out;
  for (const auto word : words) out += (out.empty() ? "" : ", ") + std::string(word);
  return out;
}

std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& candidates) {
  const std::string near = nearest(word, candidates);
  return near.empty() ? "" : "; did you mean " + near + "?";
}

// Reads one value into one field. The complaints of `fail` carry the place of the value or of the array's element.
class FieldReader {
 public:
  FieldReader(std::string_view section, const Field& field) : section_(section), field_(field) {}

  void read(const TomlValue& value) const {
    std::visit([&](const auto& out) { assign(out, value); }, field_.value);
  }

 private:
  [[noreturn]] void fail(const TomlValue& value, const std::string& message) const {
    throw value.place.error("[" + std::string(section_) + "] " + std::string(field_.key) + ": " + message);
  }
  [[noreturn]] void wrong_type(const TomlValue& value, const std::string& wanted) const {
    fail(value, "must be " + wanted + ", not " + describe_value(value));
  }

  void check_range(const TomlValue& value, double number) const {
    const Range& range = field_.range;
    const bool too_low = range.open_low ? number <= range.low : number < range.low;
    const bool too_high = range.open_high ? number >= range.high : number > range.high;
    if (too_low || too_high) fail(value, "must be " + range_text(range) + ", not " + describe_value(value));
  }

  double number(const TomlValue& value) const {
    double out = 0;
    if (const auto* integer = value.as<int64_t>()) {
      out = static_cast<double>(*integer);
    } else if (const auto* real = value.as<double>()) {
      out = *real;
    } else {
      wrong_type(value, "a number");
    }
    if (!std::isfinite(out)) fail(value, "must be a finite number, not " + describe_value(value));
    return out;
  }

  int64_t integer(const TomlValue& value) const {
    const auto* out = value.as<int64_t>();
    if (!out) wrong_type(value, "an integer");
    check_range(value, static_cast<double>(*out));
    return *out;
  }

  const std::string& string(const TomlValue& value, const char* wanted = "a string") const {
    const auto* out = value.as<std::string>();
    if (!out) wrong_type(value, wanted);
    return *out;
  }

  const TomlArray& array(const TomlValue& value, const std::string& wanted) const {
    const auto* out = value.as<TomlArray>();
    if (!out) wrong_type(value, wanted);
    return *out;
  }

  std::string path(const TomlValue& value, const char* wanted) const {
    const std::string& text = string(value, wanted);
    if (text.empty() || text.find('\0') != std::string::npos) fail(value, "a path must not be empty or hold a null character");
    return (value.place.source->folder / text).lexically_normal().string();
  }

  WeightedPath weighted_path(const TomlValue& value) const {
    const auto* table = value.as<TomlTable>();
    if (!table) return {path(value, "a path or a table { corpus = \"a.h5\", weight = 0.5 }")};
    const std::vector<std::string_view> keys = {"corpus", "task", "sizes", "weight"};
    WeightedPath out;
    for (const auto& [key, item] : *table) {
      if (key == "corpus") {
        out.path = path(item, "a path");
      } else if (key == "task") {
        out.task = string(item);
      } else if (key == "sizes") {
        for (const auto& size : array(item, "an array of integers")) {
          const auto* number = size.as<int64_t>();
          if (!number || *number < 1) fail(size, "sizes of a task's examples are integers of at least 1, not " + describe_value(size));
          out.sizes.push_back(*number);
        }
      } else if (key == "weight") {
        out.weight = number(item);
        if (out.weight <= 0) fail(item, "weight must be above 0, not " + describe_value(item));
      } else {
        fail(item,
             printable(key) + " is not a key of a corpus in a mixture" + did_you_mean(key, keys) + " (keys: " + join(keys) + ")");
      }
    }
    if (out.path.empty() && out.task.empty()) {
      fail(value, "a corpus in a mixture needs its path: { corpus = \"a.h5\", weight = 0.5 }, or a task: { task = \"needle\", weight = 0.1 }");
    }
    if (!out.path.empty() && !out.task.empty()) fail(value, "a part of a mixture is a corpus or a task; make two of it");
    if (out.task.empty() && !out.sizes.empty()) fail(value, "sizes are a task's, and this is a corpus");
    return out;
  }

  void assign(bool* out, const TomlValue& value) const {
    const auto* boolean = value.as<bool>();
    if (!boolean) wrong_type(value, "true or false");
    *out = *boolean;
  }
  void assign(int64_t* out, const TomlValue& value) const { *out = integer(value); }
  void assign(double* out, const TomlValue& value) const {
    const double real = number(value);
    check_range(value, real);
    *out = real;
  }
  void assign(std::string* out, const TomlValue& value) const { *out = string(value); }
  void assign(std::vector<std::string>* out, const TomlValue& value) const {
    out->clear();
    for (const auto& item : array(value, "an array of strings")) out->push_back(string(item));
  }
  void assign(std::vector<int64_t>* out, const TomlValue& value) const {
    out->clear();
    for (const auto& item : array(value, "an array of integers")) out->push_back(integer(item));
  }
  void assign(PathList* out, const TomlValue& value) const {
    out->paths.clear();
    for (const auto& item : array(value, "an array of paths, [\"a.h5\"]")) out->paths.push_back(path(item, "a path"));
  }
  void assign(Mixture* out, const TomlValue& value) const {
    out->clear();
    for (const auto& item : array(value, "an array of paths, [\"a.h5\"]")) out->push_back(weighted_path(item));
  }
  void assign(const Choice& out, const TomlValue& value) const {
    const std::string& word = string(value, "one of the words of this key");
    const auto found = std::find(out.names.begin(), out.names.end(), word);
    if (found == out.names.end())
      fail(value, "\"" + printable(word) + "\" is not one of its words" + did_you_mean(word, out.names) +
                      " (words: " + join(out.names) + ")");
    out.set(static_cast<size_t>(found - out.names.begin()));
  }

  std::string_view section_;
  const Field& field_;
};

// A table whose keys fields name with a dot, "probe.label" of [evaluate.probe], counts as those keys.
std::vector<std::pair<std::string, const TomlValue*>> flattened(const TomlTable& values, const std::vector<std::string_view>& keys) {
  std::vector<std::pair<std::string, const TomlValue*>> flat;
  for (const auto& [key, value] : values) {
    const auto* table = value.as<TomlTable>();
    const std::string prefix = key + ".";
    const bool nested = table && std::any_of(keys.begin(), keys.end(), [&](std::string_view k) { return k.starts_with(prefix); });
    if (!nested) flat.emplace_back(key, &value);
    for (auto item = table ? table->begin() : TomlTable::const_iterator{}; nested && item != table->end(); ++item) {
      flat.emplace_back(prefix + item->first, &item->second);
    }
  }
  return flat;
}

}  // namespace

Section::Section() : values_(std::make_shared<SectionValues>()) {}

Section::Section(std::string name, std::shared_ptr<const SectionValues> values)
    : name_(std::move(name)), values_(std::move(values)) {}

std::string Section::kind(const std::string& fallback) const {
  const auto found = values_->values.find("kind");
  if (found == values_->values.end()) return fallback;
  if (const auto* word = found->second.as<std::string>()) return *word;
  throw error("kind", "must be a string, not " + describe_value(found->second));
}

void Section::read_into(const std::vector<Field>& fields) const {
  std::vector<std::string_view> keys;
  for (const Field& field : fields) keys.push_back(field.key);
  const bool has_kinds =
      name_.empty() || std::find(kSectionsOfKinds.begin(), kSectionsOfKinds.end(), name_) != kSectionsOfKinds.end();
  if (has_kinds && std::find(keys.begin(), keys.end(), "kind") == keys.end()) keys.insert(keys.begin(), "kind");
  const auto values = flattened(values_->values, keys);
  for (const auto& [key, value] : values)
    if (std::find(keys.begin(), keys.end(), key) == keys.end())
      throw value->place.error("[" + name_ + "] " + printable(key) + " is not a key" + did_you_mean(key, keys) +
                               " (keys: " + join(keys) + ")");
  for (const Field& field : fields)
    for (const auto& [key, value] : values)
      if (key == field.key) FieldReader(name_, field).read(*value);
}

Section Section::with(const std::string& key, const std::string& toml_value) const {
  const auto& origin = values_->place.source;
  const auto folder = origin ? origin->folder : std::filesystem::current_path();
  const auto source = std::make_shared<const Source>(Source{"[" + name_ + "] " + key + "=" + toml_value, folder, false});
  auto values = std::make_shared<SectionValues>(*values_);
  values->values.insert_or_assign(key, parse_toml_value(toml_value, source));
  return {name_, values};
}

Error Section::error(std::string_view key, const std::string& message) const {
  const auto values = flattened(values_->values, {key});
  const auto found = std::find_if(values.begin(), values.end(), [&](const auto& v) { return v.first == key; });
  const Place& place = found == values.end() ? values_->place : found->second->place;
  return place.error("[" + name_ + "] " + (key.empty() ? "" : std::string(key) + ": ") + message);
}

void Section::check_multiple(std::string_view key, int64_t value, int64_t unit, const std::string& name) const {
  if (value % unit == 0) return;
  throw error(key, std::to_string(value) + " is not a multiple of " + name + " = " + std::to_string(unit));
}

}  // namespace lacuna
