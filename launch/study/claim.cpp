#include "launch/study/claim.h"

#include <cstdlib>

#include "data/error.h"

namespace lacuna {

Check parse_check(const std::string& text) {
  std::string letters;
  for (const char c : text) {
    if (c != ' ') letters += c;
  }
  const auto place = letters.find_first_of("<>");
  const auto left = letters.substr(0, place), right = place == std::string::npos ? "" : letters.substr(place + 1);
  char* end = nullptr;
  Check check;
  check.threshold = std::strtod(right.c_str(), &end);
  check.relation = place != std::string::npos && letters[place] == '<' ? Relation::below : Relation::above;
  check.operation = left == "a" ? Operation::alone : left == "a-b" ? Operation::difference : Operation::ratio;
  const bool known = left == "a" || left == "a-b" || left == "a/b";
  if (known && !right.empty() && *end == '\0') return check;
  throw usage_error("check = \"" + text + "\" must read like \"a - b > 0\", \"a / b < 1.015\" or \"a > 0\"");
}

}  // namespace lacuna
