// Whether SVG and HTML that was written is well-formed.
#pragma once
#include <string>

namespace lacuna::testing {

// Empty where `text` is one well-formed element, else what is wrong: tags nest, attributes are quoted, & begins a known entity.
std::string fault_of(const std::string& text);

}  // namespace lacuna::testing
