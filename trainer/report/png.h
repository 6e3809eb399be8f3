// Small pictures inside of a page: PNG (ISO/IEC 15948) whose values are stored and not compressed, as a data URI.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace lacuna {

// `rgb` holds height x width pixels of three bytes, from the top left.
std::string png_file(int64_t width, int64_t height, const std::vector<uint8_t>& rgb);
// "data:image/png;base64,...", for an <img>.
std::string data_uri(const std::string& png);

}  // namespace lacuna
