// Comma-separated values (RFC 4180): a field with a comma, a quote or a line break is quoted, quotes in it doubled.
#pragma once
#include <string>
#include <vector>

namespace lacuna {

// One line, its line break included.
std::string csv_line(const std::vector<std::string>& fields);
// The shortest decimal that reads back as the same double, without a point where it is a whole number; "" for what is not finite.
std::string csv_number(double value);

}  // namespace lacuna
