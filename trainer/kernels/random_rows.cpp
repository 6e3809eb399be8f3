#include "trainer/kernels/random_rows.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/bitwise_and.h>
#include <ATen/ops/bitwise_right_shift.h>
#include <ATen/ops/bitwise_xor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros_like.h>

#include <numbers>

#include "data/philox.h"

namespace lacuna {
namespace {

constexpr int64_t kWord = 0xffffffff;
using Words = std::array<at::Tensor, 4>;

at::Tensor low(const at::Tensor& x) { return at::bitwise_and(x, kWord); }
at::Tensor high(const at::Tensor& x) { return low(at::bitwise_right_shift(x, 32)); }  // the shift brings the sign along

// data/philox.h on words in int64, whose products wrap as those of uint64 do. The counters broadcast.
Words philox(Words counter, at::Tensor key0, at::Tensor key1) {
  for (int round = 0; round < 10; ++round) {
    const auto a = counter[0] * int64_t{0xD2511F53}, b = counter[2] * int64_t{0xCD9E8D57};
    counter = {at::bitwise_xor(at::bitwise_xor(high(b), counter[1]), key0), low(b),
               at::bitwise_xor(at::bitwise_xor(high(a), counter[3]), key1), low(a)};
    key0 = low(key0 + int64_t{0x9E3779B9});
    key1 = low(key1 + int64_t{0xBB67AE85});
  }
  return counter;
}

// Blocks [first, first + count) of each row's generator, which is `site` forked by the row's name: four words (B, count) each.
Words blocks(const Random& site, const at::Tensor& rows, int64_t first, int64_t count) {
  const auto name = rows.unsqueeze(1), zero = at::zeros_like(name);
  const auto word = [&](uint32_t value) { return zero + static_cast<int64_t>(value); };
  const auto [key0, key1] = site.key();
  const auto forked =
      philox({low(name), high(name), word(kNumberName), zero}, word(key0 ^ kNumberName), word(key1 ^ ~kNumberName));
  const auto index = at::arange(first, first + count, rows.options()).unsqueeze(0);
  return philox({low(index), high(index), word(low_word(site.stream())), word(high_word(site.stream()))}, forked[0], forked[1]);
}

// Box-Muller over the four words of a block, in double precision.
at::Tensor normals(const Words& words) {
  std::array<at::Tensor, 4> values;
  for (size_t pair = 0; pair < 4; pair += 2) {
    const auto radius = (((words[pair].to(at::kDouble) + 0.5) * 0x1p-32).log() * -2.0).sqrt();
    const auto angle = words[pair + 1].to(at::kDouble) * (2.0 * std::numbers::pi * 0x1p-32);
    values[pair] = radius * angle.cos();
    values[pair + 1] = radius * angle.sin();
  }
  return at::stack(values, -1).to(at::kFloat);
}

at::Tensor uniforms(const Words& words) {
  std::array<at::Tensor, 4> values;
  for (size_t i = 0; i < 4; ++i) values[i] = at::bitwise_right_shift(words[i], 8).to(at::kFloat) * 0x1p-24F;
  return at::stack(values, -1);
}

template <class Make>
at::Tensor composed(const Random& site, const at::Tensor& rows, int64_t count, int64_t begin, Make make) {
  const at::NoGradGuard no_grad;
  const int64_t first = begin / 4, last = (begin + count + 3) / 4;
  return make(blocks(site, rows, first, last - first)).flatten(1).narrow(1, begin - 4 * first, count);
}

template <class Draw>
at::Tensor drawn(const Random& site, const at::Tensor& rows, int64_t count, int64_t begin, Draw draw) {
  auto values = at::empty({rows.size(0), count}, at::kFloat);
  auto* out = values.data_ptr<float>();
  const auto* names = rows.const_data_ptr<int64_t>();
  at::parallel_for(0, rows.size(0), 1, [&](int64_t from, int64_t to) {
    for (int64_t b = from; b < to; ++b) {
      const auto random = site.fork(static_cast<uint64_t>(names[b]));
      for (int64_t i = begin; i < begin + count;) {
        const auto block = draw(random, static_cast<uint64_t>(i / 4));
        for (int64_t k = i % 4; k < 4 && i < begin + count; ++k, ++i) out[b * count + i - begin] = block[static_cast<size_t>(k)];
      }
    }
  });
  return values;
}

std::array<float, 4> uniform_block(const Random& random, uint64_t index) {
  std::array<float, 4> values{};
  const auto words = random.block(index);
  for (size_t i = 0; i < 4; ++i) values[i] = static_cast<float>(words[i] >> 8) * 0x1p-24F;
  return values;
}

}  // namespace

at::Tensor normal_rows(const Random& site, const at::Tensor& rows, int64_t count, int64_t begin) {
  if (!rows.is_cpu()) return normal_rows_composed(site, rows, count, begin);
  return drawn(site, rows.contiguous(), count, begin, [](const Random& r, uint64_t index) { return r.normal_block(index); });
}

at::Tensor uniform_rows(const Random& site, const at::Tensor& rows, int64_t count, int64_t begin) {
  if (!rows.is_cpu()) return uniform_rows_composed(site, rows, count, begin);
  return drawn(site, rows.contiguous(), count, begin, uniform_block);
}

at::Tensor normal_rows_composed(const Random& site, const at::Tensor& rows, int64_t count, int64_t begin) {
  return composed(site, rows, count, begin, normals);
}

at::Tensor uniform_rows_composed(const Random& site, const at::Tensor& rows, int64_t count, int64_t begin) {
  return composed(site, rows, count, begin, uniforms);
}

}  // namespace lacuna
