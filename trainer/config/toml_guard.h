// What must be refused before toml++ 3.3 sees a text, because it would overflow the stack or run into undefined behaviour:
// endless text, deep nesting, and characters beyond ASCII outside strings and comments (where TOML allows none anyway).
#pragma once
#include <cstddef>
#include <memory>
#include <string_view>

#include "trainer/config/toml_reader.h"

namespace lacuna {

constexpr size_t kMaxTomlBytes = 1 << 20;
constexpr size_t kMaxTomlDepth = 64;  // key parts and open brackets together

// Throws a usage Error with file:line:column.
void check_toml(std::string_view text, const std::shared_ptr<const Source>& source);

}  // namespace lacuna
