// The generator behind Random as plain functions, so that a device kernel draws the very bits that the host draws.
// Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
#pragma once
#include <array>
#include <cstdint>

namespace lacuna {

constexpr uint32_t low_word(uint64_t x) { return static_cast<uint32_t>(x); }
constexpr uint32_t high_word(uint64_t x) { return static_cast<uint32_t>(x >> 32); }

// Ten rounds, with the multipliers and key increments of the paper (table 2 and section 4).
constexpr std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * counter[0];
    const uint64_t b = uint64_t{0xCD9E8D57} * counter[2];
    counter = {high_word(b) ^ counter[1] ^ key[0], low_word(b), high_word(a) ^ counter[3] ^ key[1], low_word(a)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

// The kinds of names use different keys and counters than draws do, so that no fork repeats its parent's values.
constexpr uint32_t kNumberName = 0x6e756d62;
constexpr uint32_t kWordName = 0x776f7264;

constexpr std::array<uint32_t, 2> forked_key(std::array<uint32_t, 2> key, uint64_t name, uint32_t kind) {
  const auto mixed = philox({low_word(name), high_word(name), kind, 0}, {key[0] ^ kind, key[1] ^ ~kind});
  return {mixed[0], mixed[1]};
}

}  // namespace lacuna
