// Counter-based random numbers (Philox 4x32-10; Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
// A value is a pure function of (seed, stream, index), so it does not depend on ranks, threads or what was drawn before.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>

namespace lacuna {

class Random {
 public:
  Random(uint64_t seed, uint64_t stream);

  // An independent generator, named by a number or a word.
  Random fork(uint64_t name) const;
  Random fork(std::string_view name) const;

  // Random access: block `index` of four 32-bit values.
  std::array<uint32_t, 4> block(uint64_t index) const;
  // Four standard normal values (Box-Muller over block `index`).
  std::array<float, 4> normal_block(uint64_t index) const;

  // For kernels that draw the same blocks on a device (philox.h).
  std::array<uint32_t, 2> key() const { return key_; }
  uint64_t stream() const { return stream_; }

  // Sequential draws; each advances this object's own index.
  uint64_t bits();
  double uniform();              // [0, 1)
  int64_t below(int64_t bound);  // [0, bound), unbiased

 private:
  std::array<uint32_t, 2> key_;
  uint64_t stream_;
  uint64_t next_ = 0;
};

}  // namespace lacuna
