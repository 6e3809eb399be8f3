// What the programs of tests/fuzz share: how they are called, and damage to files of bytes.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "data/random.h"

namespace lacuna::testing {

// `x_fuzz [INPUTS] [SEED = 1]`.
struct FuzzArguments {
  FuzzArguments(int argc, char** argv, int64_t own_inputs)
      : inputs(argc > 1 ? std::atoll(argv[1]) : own_inputs), seed(argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1) {}
  int64_t inputs;
  uint64_t seed;
};

// From one to eight changes of the kinds that parsers fail at. Of the places half lie in the first `head` bytes, where headers
// are; 0 = they lie anywhere.
inline std::string damaged(std::string bytes, Random random, int64_t head = 0) {
  const auto place = [&] {
    const auto size = static_cast<int64_t>(bytes.size());
    return static_cast<size_t>(random.below(head > 0 && random.below(2) ? std::min(size, head) : size));
  };
  for (int64_t change = 1 + random.below(8); change > 0 && !bytes.empty(); --change) {
    switch (random.below(7)) {
      case 0:
        bytes[place()] ^= static_cast<char>(1 << random.below(8));
        break;
      case 1:
        bytes[place()] = static_cast<char>(random.below(256));
        break;
      case 2: {  // an extreme value in a field of 1, 2, 4 or 8 bytes
        const size_t at = place();
        const char fill = random.below(2) ? '\xff' : '\0';
        for (size_t i = 0; i < size_t{1} << random.below(4) && at + i < bytes.size(); ++i) bytes[at + i] = fill;
        break;
      }
      case 3: {  // bytes from elsewhere, such as one address in place of another
        const size_t unit = random.below(2) ? 8 : 1, from = place() / unit * unit, to = place() / unit * unit;
        for (size_t i = 0; i < size_t{8} << random.below(4) && std::max(from, to) + i < bytes.size(); ++i)
          bytes[to + i] = bytes[from + i];
        break;
      }
      case 4:
        bytes.insert(place(), static_cast<size_t>(1 + random.below(20)), static_cast<char>(random.below(256)));
        break;
      case 5:
        if (random.below(2)) bytes.erase(place(), static_cast<size_t>(1 + random.below(64)));
        break;
      case 6:
        if (random.below(4) == 0) bytes.resize(place());
        break;
    }
  }
  return bytes;
}

}  // namespace lacuna::testing
