// Options as text: TOML that reads back as the very same values, and a table for people.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "trainer/config/describe.h"

namespace lacuna {

// The shortest decimal that reads back as the same double, always a TOML float: 0.001, 3.0, 1e-08.
std::string to_decimal(double value);

// A TOML basic string with its quotes.
std::string quoted(std::string_view text);

// The field's value as TOML: 3, "auto", ["a.h5", { corpus = "b.h5", weight = 0.5 }].
std::string value_to_toml(const Field& field);

// What the field takes: "integer, at least 1", "auto | cpu | cuda".
std::string accepted_values(const Field& field);

// "at least 1", "above 0", "between 0 and 1", "at least 0 and below 1"; "" where every value is in range.
std::string range_text(const Range& range);

// Keys, defaults, accepted values and docs in aligned columns, one line per key under a heading line.
std::string reference_table(const std::vector<Field>& fields);
template <class Options>
std::string reference_of() {
  Options options;
  return reference_table(fields_of(options));
}

}  // namespace lacuna
