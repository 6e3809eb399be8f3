#include "trainer/report/png.h"

#include <algorithm>
#include <array>

namespace lacuna {
namespace {

void append_big_endian(std::string& out, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift & 0xFF);
}

// CRC-32 of the ISO 3309 polynomial, which PNG asks for; event files use another one (crc32c.h).
uint32_t crc32(const std::string& bytes) {
  uint32_t crc = 0xFFFFFFFF;
  for (const char byte : bytes) {
    crc ^= static_cast<uint8_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320 : 0);
  }
  return ~crc;
}

void append_chunk(std::string& out, const std::string& kind, const std::string& content) {
  append_big_endian(out, static_cast<uint32_t>(content.size()));
  out += kind + content;
  append_big_endian(out, crc32(kind + content));
}

// As a zlib stream (RFC 1950) of stored blocks (RFC 1951, section 3.2.4).
std::string stored(const std::string& bytes) {
  constexpr size_t kBlock = 65535;
  std::string out = "\x78\x01";
  for (size_t begin = 0; begin < bytes.size() || begin == 0; begin += kBlock) {
    const auto size = static_cast<uint16_t>(std::min(kBlock, bytes.size() - begin)), inverse = static_cast<uint16_t>(~size);
    out += static_cast<char>(begin + kBlock >= bytes.size() ? 1 : 0);
    for (const uint16_t word : {size, inverse}) out += {static_cast<char>(word & 0xFF), static_cast<char>(word >> 8)};
    out += bytes.substr(begin, size);
  }
  uint32_t a = 1, b = 0;
  for (const char byte : bytes) {
    a = (a + static_cast<uint8_t>(byte)) % 65521;
    b = (b + a) % 65521;
  }
  append_big_endian(out, b << 16 | a);
  return out;
}

}  // namespace

std::string png_file(int64_t width, int64_t height, const std::vector<uint8_t>& rgb) {
  std::string header, lines;
  append_big_endian(header, static_cast<uint32_t>(width));
  append_big_endian(header, static_cast<uint32_t>(height));
  header += {8, 2, 0, 0, 0};  // 8 bits a value, RGB, and the only methods that there are
  for (int64_t y = 0; y < height; ++y) {
    lines += '\0';  // no filter
    lines.append(rgb.begin() + y * width * 3, rgb.begin() + (y + 1) * width * 3);
  }
  std::string out = "\x89PNG\r\n\x1a\n";
  append_chunk(out, "IHDR", header);
  append_chunk(out, "IDAT", stored(lines));
  append_chunk(out, "IEND", "");
  return out;
}

std::string data_uri(const std::string& png) {
  constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out = "data:image/png;base64,";
  for (size_t i = 0; i < png.size(); i += 3) {
    uint32_t group = 0;
    for (size_t j = i; j < i + 3; ++j) group = group << 8 | (j < png.size() ? static_cast<uint8_t>(png[j]) : 0);
    for (size_t j = 0; j < 4; ++j) out += i + j <= png.size() ? kLetters[group >> (18 - 6 * j) & 63] : '=';
  }
  return out;
}

}  // namespace lacuna
