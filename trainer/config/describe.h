// One `describe(visit, options)` per options type says its keys once; parsing, unknown-key errors, printing, help and the
// reference table all read from it:
//
//   struct BatchOptions { int64_t global_size = 16; ... };
//   template <class Visitor> void describe(Visitor& visit, BatchOptions& o) {
//     visit("global_size", o.global_size, "rows of one step over the whole world", at_least(1));
//   }
//
// An enumeration is a field when `names_of(E)` lists its words: constexpr std::array<std::string_view, N> names_of(E), in the
// order of its values, which count from 0.
#pragma once
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

namespace lacuna {

struct Range {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool open_low = false;  // low itself is refused
  bool open_high = false;
};
constexpr Range at_least(double low) { return {.low = low}; }
constexpr Range above(double low) { return {.low = low, .open_low = true}; }
constexpr Range between(double low, double high) { return {.low = low, .high = high}; }
// low <= value < high
constexpr Range from_below(double low, double high) { return {.low = low, .high = high, .open_high = true}; }

// A corpus file, or a task that is generated (data/tasks), and its share of a mixture. Exactly one of `path` and `task` is set.
struct WeightedPath {
  std::string path;
  double weight = 1.0;
  std::string task = {};
  std::vector<int64_t> sizes = {};  // of the task's examples; empty = its own
  bool operator==(const WeightedPath&) const = default;
};
using Mixture = std::vector<WeightedPath>;

// A path that is relative to the file that names it.
struct PathList {
  std::vector<std::string> paths;
  bool operator==(const PathList&) const = default;
};

// An enumeration with its type erased.
struct Choice {
  std::vector<std::string_view> names;
  std::function<size_t()> get;
  std::function<void(size_t)> set;
};

struct Field {
  std::string_view key;
  std::variant<bool*, int64_t*, double*, std::string*, std::vector<std::string>*, std::vector<int64_t>*, PathList*, Mixture*,
               Choice>
      value;
  std::string_view doc;
  Range range;
};

class FieldList {
 public:
  template <class T>
  void operator()(std::string_view key, T& value, std::string_view doc, Range range = {}) {
    if constexpr (std::is_enum_v<T>) {
      const auto names = names_of(T{});
      fields.push_back({key,
                        Choice{{names.begin(), names.end()},
                               [&value] { return static_cast<size_t>(value); },
                               [&value](size_t i) { value = static_cast<T>(i); }},
                        doc, range});
    } else {
      fields.push_back({key, &value, doc, range});
    }
  }
  std::vector<Field> fields;
};

// The fields point into `options`, which must outlive them.
template <class Options>
std::vector<Field> fields_of(Options& options) {
  FieldList list;
  describe(list, options);
  return std::move(list.fields);
}

// An enumeration's word.
template <class E>
std::string_view name_of(E value) {
  return names_of(E{})[static_cast<size_t>(value)];
}

}  // namespace lacuna
