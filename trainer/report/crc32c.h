// CRC-32C (Castagnoli; RFC 3720, appendix B.4), the checksum of TFRecord files.
#pragma once
#include <cstdint>
#include <string_view>

namespace lacuna {

uint32_t crc32c(std::string_view bytes);

// As TFRecord stores it, so that a checksum of bytes that hold checksums stays one: turned by 15 bits, plus a constant.
uint32_t masked_crc32c(std::string_view bytes);

}  // namespace lacuna
