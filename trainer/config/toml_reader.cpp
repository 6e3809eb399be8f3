#include "trainer/config/toml_reader.h"

namespace lacuna {
namespace {
struct BrokenAssumption {};
[[noreturn]] void throw_broken_assumption() { throw BrokenAssumption(); }
}  // namespace
}  // namespace lacuna

// Hostile text breaks assumptions of toml++ ("[ = ]" does): they must neither abort nor, under NDEBUG, become undefined
// behaviour.
#undef NDEBUG
#define TOML_ASSERT(condition) ((condition) ? void() : ::lacuna::throw_broken_assumption())
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include <algorithm>

#include "trainer/config/to_toml.h"
#include "trainer/config/toml_guard.h"

namespace lacuna {
namespace {

Place place_of(const std::shared_ptr<const Source>& source, const toml::source_position& at) {
  return {source, std::max<uint32_t>(at.line, 1), std::max<uint32_t>(at.column, 1)};
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

bool breaks_the_parser(std::string_view text) {
  try {
    (void)toml::parse(text);
  } catch (const toml::parse_error&) {
  } catch (const BrokenAssumption&) {
    return true;
  }
  return false;
}

// Where toml++ gave up without a place: on the last line of the shortest run of lines from the start that it gives up on.
Place place_of_break(std::string_view text, const std::shared_ptr<const Source>& source) {
  std::vector<size_t> ends;
  for (size_t at = text.find('\n'); at != std::string_view::npos; at = text.find('\n', at + 1)) ends.push_back(at + 1);
  ends.push_back(text.size());
  const auto line =
      std::partition_point(ends.begin(), ends.end(), [&](size_t end) { return !breaks_the_parser(text.substr(0, end)); });
  return {source, static_cast<uint32_t>(std::min<ptrdiff_t>(line - ends.begin() + 1, std::ssize(ends))), 1};
}

}  // namespace

std::string Place::text() const {
  if (!source) return "config";
  return source->has_lines ? source->name + ":" + std::to_string(line) + ":" + std::to_string(column) : source->name;
}

Error Place::error(const std::string& message) const { return usage_error(text() + ": " + message); }

TomlTable parse_toml(std::string_view text, const std::shared_ptr<const Source>& source) {
  check_toml(text, source);
  try {
    const toml::table root = toml::parse(text);
    return std::get<TomlTable>(convert(root, {1, 1}, source).data);
  } catch (const toml::parse_error& error) {
    throw place_of(source, error.source().begin).error(printable(error.description()));
  } catch (const BrokenAssumption&) {
    throw place_of_break(text, source).error("this line is not valid TOML");
  }
}

TomlValue parse_toml_value(std::string_view text, const std::shared_ptr<const Source>& source) {
  TomlTable table;
  try {
    table = parse_toml("value = " + std::string(text), source);
  } catch (const Error& error) {
    if (!is_bare_word(text))
      throw usage_error(std::string(error.what()) + "; the value is TOML, in which strings stand in quotes: ['a', 'b']");
    table = parse_toml("value = " + quoted(text), source);  // also checks that the word is UTF-8
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
