#include "data/random.h"

#include <cmath>
#include <numbers>
#include <string>

#include "data/error.h"
#include "data/philox.h"

namespace lacuna {
namespace {

__extension__ typedef unsigned __int128 Wide;  // an extension of the compiler

uint64_t fnv1a(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const unsigned char c : text) hash = (hash ^ c) * 0x100000001b3;
  return hash;
}

}  // namespace

Random::Random(uint64_t seed, uint64_t stream) : key_{low_word(seed), high_word(seed)}, stream_(stream) {}

Random Random::fork(uint64_t name) const {
  Random child(0, stream_);
  child.key_ = forked_key(key_, name, kNumberName);
  return child;
}

Random Random::fork(std::string_view name) const {
  Random child(0, stream_);
  child.key_ = forked_key(key_, fnv1a(name), kWordName);
  return child;
}

std::array<uint32_t, 4> Random::block(uint64_t index) const {
  return philox({low_word(index), high_word(index), low_word(stream_), high_word(stream_)}, key_);
}

std::array<float, 4> Random::normal_block(uint64_t index) const {
  const auto bits = block(index);
  std::array<float, 4> normal;
  for (int pair = 0; pair < 4; pair += 2) {
    const double radius = std::sqrt(-2.0 * std::log((bits[pair] + 0.5) * 0x1p-32));  // never log(0)
    const double angle = 2.0 * std::numbers::pi * (bits[pair + 1] * 0x1p-32);
    normal[pair] = static_cast<float>(radius * std::cos(angle));
    normal[pair + 1] = static_cast<float>(radius * std::sin(angle));
  }
  return normal;
}

uint64_t Random::bits() {
  const auto four = block(next_ / 2);
  const size_t half = 2 * (next_ % 2);
  ++next_;
  return uint64_t{four[half + 1]} << 32 | four[half];
}

double Random::uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }

// Multiply and keep the high word; draws that would favour small values are thrown away (Lemire, 2019).
int64_t Random::below(int64_t bound) {
  if (bound <= 0) throw Error(ExitCode::internal, "Random::below needs a positive bound, not " + std::to_string(bound));
  const auto range = static_cast<uint64_t>(bound);
  const uint64_t threshold = (0 - range) % range;
  while (true) {
    const auto product = static_cast<Wide>(bits()) * range;
    if (static_cast<uint64_t>(product) >= threshold) return static_cast<int64_t>(product >> 64);
  }
}

}  // namespace lacuna
