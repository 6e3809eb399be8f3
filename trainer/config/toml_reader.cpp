#include "trainer/config/toml_reader.h"

#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include <algorithm>

#include "trainer/config/to_toml.h"

namespace lacuna {
namespace {

Place place_of(const std::shared_ptr<const Source>& source, const toml::source_position& at) {
  return {source, std::max<uint32_t>(at.line, 1), std::max<uint32_t>(at.column, 1)};
}

Place place_of(const std::shared_ptr<const Source>& source, std::string_view text, size_t offset) {
  const auto before = text.substr(0, offset);
  const auto line = std::count(before.begin(), before.end(), '\n');
  const auto column = offset - (before.rfind('\n') + 1);  // npos + 1 is 0
  return {source, static_cast<uint32_t>(line + 1), static_cast<uint32_t>(column + 1)};
}

// The offset after the string that begins at `start`. Strings that end nowhere end at the line or the text: the parser says so.
size_t skip_string(std::string_view text, size_t start) {
  const char quote = text[start];
  const std::string triple(3, quote);
  const bool is_multiline = text.substr(start, 3) == triple;
  size_t i = start + (is_multiline ? 3 : 1);
  while (i < text.size()) {
    if (quote == '"' && text[i] == '\\') {
      i += 2;
    } else if (is_multiline && text.substr(i, 3) == triple) {
      for (i += 3; i < text.size() && text[i] == quote;) ++i;  // up to two quotes may belong to the string
      return i;
    } else if (!is_multiline && (text[i] == quote || text[i] == '\n')) {
      return text[i] == quote ? i + 1 : i;
    } else {
      ++i;
    }
  }
  return text.size();
}

// Parser, conversion and destructors recurse once per level of a value, and dots in keys make levels as brackets do.
void check_limits(std::string_view text, const std::shared_ptr<const Source>& source) {
  if (text.size() > kMaxTomlBytes)
    throw Place{source}.error("the text has " + std::to_string(text.size()) + " bytes; a config has at most " +
                              std::to_string(kMaxTomlBytes));
  std::vector<size_t> open;  // depth at which each open bracket stands
  size_t depth = 0;
  const auto inside = [&] { return open.empty() ? 0 : open.back() + 1; };
  for (size_t i = 0; i < text.size();) {
    switch (text[i]) {
      case '"':
      case '\'':
        i = skip_string(text, i);
        continue;
      case '#':
        i = std::min(text.find('\n', i), text.size());
        continue;
      case '\n':
      case ',':
        depth = inside();
        break;
      case '.':
        ++depth;
        break;
      case '[':
      case '{':
        open.push_back(depth++);
        break;
      case ']':
      case '}':
        depth = open.empty() ? 0 : open.back();
        if (!open.empty()) open.pop_back();
        break;
      default:
        break;
    }
    if (depth > kMaxTomlDepth)
      throw place_of(source, text, i)
          .error("nested deeper than " + std::to_string(kMaxTomlDepth) +
                 " levels of key parts and brackets; a config needs three");
    ++i;
  }
}

TomlValue convert(const toml::node& node, const toml::source_position& at, const std::shared_ptr<const Source>& source) {
  TomlValue value{TomlTime{}, place_of(source, at)};
  if (const auto* table = node.as_table()) {
    auto& out = value.data.emplace<TomlTable>();
    for (auto&& [key, child] : *table) out.emplace(key.str(), convert(child, key.source().begin, source));
  } else if (const auto* array = node.as_array()) {
    auto& out = value.data.emplace<TomlArray>();
    for (auto&& child : *array) out.push_back(convert(child, child.source().begin, source));
  } else if (const auto* boolean = node.as_boolean()) {
    value.data = boolean->get();
  } else if (const auto* integer = node.as_integer()) {
    value.data = integer->get();
  } else if (const auto* number = node.as_floating_point()) {
    value.data = number->get();
  } else if (const auto* string = node.as_string()) {
    value.data = string->get();
  }
  return value;
}

// No quote, bracket or separator: a word that TOML wants quoted and a command line need not quote.
bool is_bare_word(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return c >= ' ' && c != 0x7f && std::string_view("\"'[]{}=,#").find(static_cast<char>(c)) == std::string_view::npos;
  });
}

}  // namespace

std::string Place::text() const {
  if (!source) return "config";
  return source->has_lines ? source->name + ":" + std::to_string(line) + ":" + std::to_string(column) : source->name;
}

Error Place::error(const std::string& message) const { return usage_error(text() + ": " + message); }

TomlTable parse_toml(std::string_view text, const std::shared_ptr<const Source>& source) {
  check_limits(text, source);
  try {
    const toml::table root = toml::parse(text);
    return std::get<TomlTable>(convert(root, {1, 1}, source).data);
  } catch (const toml::parse_error& error) {
    throw place_of(source, error.source().begin).error(printable(error.description()));
  }
}

TomlValue parse_toml_value(std::string_view text, const std::shared_ptr<const Source>& source) {
  TomlTable table;
  try {
    table = parse_toml("value = " + std::string(text), source);
  } catch (const Error& error) {
    if (is_bare_word(text)) return {std::string(text), Place{source}};
    throw usage_error(std::string(error.what()) + "; the value is TOML, in which strings stand in quotes: ['a', 'b']");
  }
  if (table.size() != 1 || !table.contains("value")) throw Place{source}.error("one value is wanted, and this text holds more");
  return std::move(table.begin()->second);
}

std::string describe_value(const TomlValue& value) {
  if (const auto* boolean = value.as<bool>()) return *boolean ? "true" : "false";
  if (const auto* integer = value.as<int64_t>()) return "the integer " + std::to_string(*integer);
  if (const auto* number = value.as<double>()) return "the number " + to_decimal(*number);
  if (const auto* string = value.as<std::string>()) return "the string \"" + printable(*string) + "\"";
  if (value.as<TomlArray>()) return "an array";
  if (value.as<TomlTable>()) return "a table";
  return "a date or time";
}

std::string printable(std::string_view text) {
  constexpr size_t kMaxShown = 120;
  std::string out;
  for (const char c : text.substr(0, kMaxShown)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      constexpr std::string_view kDigits = "0123456789abcdef";
      out += {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
    } else {
      out += c;
    }
  }
  return text.size() > kMaxShown ? out + "..." : out;
}

}  // namespace lacuna
