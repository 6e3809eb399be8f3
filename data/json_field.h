// One text out of a line of JSON. What else the line holds is checked and thrown away as it is read, so that memory stays within
// the line's size however deep it nests.
#pragma once
#include <string>
#include <string_view>

namespace lacuna {

// The string that the object has under `field`. Throws Error(data), saying what is wrong without a place, when `line` is not
// JSON, not an object, has no such field or two of them, or something other than a string there.
std::string json_text_field(std::string_view line, std::string_view field);

}  // namespace lacuna
