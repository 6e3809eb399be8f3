#include "trainer/config/to_toml.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "trainer/config/section.h"

namespace lacuna {
namespace {

template <class... Functions>
struct Overloaded : Functions... {
  using Functions::operator()...;
};

template <class Items, class ToText>
std::string array_text(const Items& items, ToText to_text) {
  std::string out = "[";
  for (const auto& item : items) out += (out.size() > 1 ? ", " : "") + to_text(item);
  return out + "]";
}

std::string mixture_item(const WeightedPath& item) {
  const std::string weight = ", weight = " + to_decimal(item.weight) + " }";
  if (item.task.empty()) return item.weight == 1.0 ? lacuna::quoted(item.path) : "{ corpus = " + lacuna::quoted(item.path) + weight;
  const auto sizes = item.sizes.empty() ? "" : ", sizes = " + array_text(item.sizes, [](int64_t i) { return std::to_string(i); });
  return "{ task = " + lacuna::quoted(item.task) + sizes + weight;
}

// A bound as a person writes it: 3 and 0.5.
std::string bound(double value) {
  std::string text = to_decimal(value);
  return text.ends_with(".0") ? text.substr(0, text.size() - 2) : text;
}

// Columns count characters, not bytes: continuation bytes of UTF-8 take no room.
size_t width(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

}  // namespace

std::string to_decimal(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::array<char, 32> buffer;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  std::string text(buffer.data(), end);
  return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
}

std::string quoted(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7f) {
      out += {'\\', 'u', '0', '0', kDigits[byte >> 4], kDigits[byte & 15]};
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string value_to_toml(const Field& field) {
  return std::visit(
      Overloaded{[](const bool* v) { return std::string(*v ? "true" : "false"); },
                 [](const int64_t* v) { return std::to_string(*v); }, [](const double* v) { return to_decimal(*v); },
                 [](const std::string* v) { return lacuna::quoted(*v); },
                 [](const std::vector<std::string>* v) { return array_text(*v, lacuna::quoted); },
                 [](const std::vector<int64_t>* v) { return array_text(*v, [](int64_t i) { return std::to_string(i); }); },
                 [](const PathList* v) { return array_text(v->paths, lacuna::quoted); },
                 [](const Mixture* v) { return array_text(*v, mixture_item); },
                 [](const Choice& v) { return lacuna::quoted(v.names[v.get()]); }},
      field.value);
}

std::string to_toml(const std::vector<Field>& fields, bool with_docs) {
  std::string out;
  for (const Field& field : fields) {
    out += std::string(field.key) + " = " + value_to_toml(field);
    if (with_docs) out += "  # " + std::string(field.doc);
    out += "\n";
  }
  return out;
}

std::string range_text(const Range& range) {
  const bool has_low = std::isfinite(range.low), has_high = std::isfinite(range.high);
  if (has_low && has_high && !range.open_low && !range.open_high)
    return "between " + bound(range.low) + " and " + bound(range.high);
  std::string out;
  if (has_low) out += (range.open_low ? "above " : "at least ") + bound(range.low);
  if (has_low && has_high) out += " and ";
  if (has_high) out += (range.open_high ? "below " : "at most ") + bound(range.high);
  return out;
}

std::string accepted_values(const Field& field) {
  const std::string range = range_text(field.range);
  const std::string suffix = range.empty() ? "" : ", " + range;
  return std::visit(Overloaded{[](bool*) { return std::string("true | false"); }, [&](int64_t*) { return "integer" + suffix; },
                               [&](double*) { return "number" + suffix; }, [](std::string*) { return std::string("string"); },
                               [](std::vector<std::string>*) { return std::string("array of strings"); },
                               [&](std::vector<int64_t>*) { return "array of integers" + suffix; },
                               [](PathList*) { return std::string("array of paths"); },
                               [](Mixture*) { return std::string("array of paths or { corpus, weight }"); },
                               [](const Choice& choice) {
                                 std::string out;
                                 for (const auto& name : choice.names) out += (out.empty() ? "" : " | ") + std::string(name);
                                 return out;
                               }},
                    field.value);
}

std::string reference_table(const std::vector<Field>& fields) {
  std::vector<std::array<std::string, 4>> rows = {{"key", "default", "values", "meaning"}};
  for (const Field& field : fields)
    rows.push_back({std::string(field.key), value_to_toml(field), accepted_values(field), std::string(field.doc)});
  std::array<size_t, 3> widths = {};
  for (const auto& row : rows)
    for (size_t i = 0; i < widths.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  std::string out;
  for (const auto& row : rows) {
    for (size_t i = 0; i < widths.size(); ++i) out += row[i] + std::string(widths[i] - width(row[i]) + 2, ' ');
    out += row.back() + "\n";
  }
  return out;
}

}  // namespace lacuna
