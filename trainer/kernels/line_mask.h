// One bit for each line of 128 bytes (32 fp32 elements) of a flat buffer. Parameters start on such lines, so a bit says of every
// element whether its parameter decays or is partitioned, and a kernel that reads 1024 elements reads one word for it: neither
// a launch a parameter nor a search in a table.
#pragma once
#include <cstdint>
#include <vector>

namespace lacuna {

constexpr int64_t kLineElements = 32;

// Words of the mask of a buffer of `size` elements, bits of element e at word e / 1024, bit e / 32 % 32.
inline std::vector<uint32_t> empty_line_mask(int64_t size) {
  return std::vector<uint32_t>((size + 32 * kLineElements - 1) / (32 * kLineElements), 0);
}

inline bool is_marked(const uint32_t* mask, int64_t element) {
  return (mask[element / (32 * kLineElements)] >> (element / kLineElements % 32)) & 1;
}

// Sets the lines that elements [offset, offset + count) touch.
inline void mark_lines(std::vector<uint32_t>& mask, int64_t offset, int64_t count) {
  for (int64_t line = offset / kLineElements; line < (offset + count + kLineElements - 1) / kLineElements; ++line) {
    mask.at(line / 32) |= uint32_t{1} << (line % 32);
  }
}

}  // namespace lacuna
