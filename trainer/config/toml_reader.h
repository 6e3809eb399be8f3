// TOML text as plain values that remember where they were written, so that every later complaint can name the place.
// The text is hostile: toml_guard bounds it before the parser sees it.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "data/error.h"

namespace lacuna {

// A file, or a --set.
struct Source {
  std::string name;              // as messages show it
  std::filesystem::path folder;  // absolute; paths in this source are relative to it
  bool has_lines = true;         // a --set has none
};

struct Place {
  std::shared_ptr<const Source> source;
  uint32_t line = 1;    // from 1
  uint32_t column = 1;  // from 1

  std::string text() const;  // "file.toml:12:5"
  // A usage error: "file.toml:12:5: MESSAGE".
  Error error(const std::string& message) const;
};

struct TomlValue;
using TomlArray = std::vector<TomlValue>;
using TomlTable = std::map<std::string, TomlValue, std::less<>>;
struct TomlTime {};  // dates and times: TOML has them, no key of ours takes one

struct TomlValue {
  std::variant<bool, int64_t, double, std::string, TomlArray, TomlTable, TomlTime> data;
  Place place;  // of the key where there is one, else of the value

  template <class T>
  const T* as() const {
    return std::get_if<T>(&data);
  }
};

struct SectionValues {
  TomlTable values;
  Place place;
};

// Throws usage Errors with file:line:column for syntax errors, duplicate keys and text beyond the limits.
TomlTable parse_toml(std::string_view text, const std::shared_ptr<const Source>& source);

// One value, as --set writes it: TOML, and a bare word is a string.
TomlValue parse_toml_value(std::string_view text, const std::shared_ptr<const Source>& source);

// "the integer 3", "the string \"wide\"", "an array": what a message calls a value of the wrong type.
std::string describe_value(const TomlValue& value);

// Text from a file as a message may show it: control characters escaped, cut to a sensible length.
std::string printable(std::string_view text);

}  // namespace lacuna
