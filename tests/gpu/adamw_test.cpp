// AdamW on the device against the update written out in double precision.
#include "trainer/kernels/adamw.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>
#include <c10/cuda/CUDAStream.h>
#include <gtest/gtest.h>

#include "data/error.h"
#include "tests/support/device_compare.h"
#include "trainer/kernels/adamw_cuda.h"
#include "trainer/kernels/line_mask.h"

namespace lacuna {
namespace {

using testing::expect_elements_close;

constexpr double kRate = 0.03, kScale = 0.7, kCorrection1 = 0.271, kCorrection2 = 0.142625, kDecay = 0.1;
const AdamWConstants kConstants{.beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8};

at::TensorOptions on_device(at::ScalarType type) { return at::TensorOptions().device(at::kCUDA).dtype(type); }

struct State {
  at::Tensor p, g, m, v, copy, scalars, skip;
  explicit State(int64_t n)
      : p(at::randn({n}, on_device(at::kFloat))),
        g(at::randn({n}, on_device(at::kFloat))),
        m(at::randn({n}, on_device(at::kFloat))),
        v(at::randn({n}, on_device(at::kFloat)).abs()),
        copy(at::full({n}, 77, on_device(at::kBFloat16))),
        scalars(at::tensor({kRate, kScale, kCorrection1, kCorrection2}, at::kFloat).to(at::kCUDA)),
        skip(at::full({1}, 0, on_device(at::kFloat))) {}

  cuda::AdamWUpdate update(int64_t from, int64_t count) const {
    return {.parameters = p.data_ptr<float>() + from,
            .first = m.data_ptr<float>() + from,
            .second = v.data_ptr<float>() + from,
            .gradients = g.data_ptr<float>() + from,
            .bf16_copy = static_cast<char*>(copy.data_ptr()) + from * 2,
            .count = count,
            .beta1 = 0.9F,
            .beta2 = 0.95F,
            .epsilon = 1e-8F,
            .weight_decay = static_cast<float>(kDecay),
            .begin = from,
            .scalars = scalars.const_data_ptr<float>(),
            .skip = skip.const_data_ptr<float>()};
  }
};

struct Expected {
  at::Tensor p, m, v;
};

Expected oracle(const State& s, const at::Tensor& decay) {
  const auto g = s.g.to(at::kDouble) * kScale, p = s.p.to(at::kDouble);
  const auto m = 0.9 * s.m.to(at::kDouble) + 0.1 * g, v = 0.95 * s.v.to(at::kDouble) + 0.05 * g * g;
  return {p - kRate * ((m / kCorrection1) / ((v / kCorrection2).sqrt() + 1e-8) + decay * p), m, v};
}

void run(const cuda::AdamWUpdate& update) { cuda::adamw(update, c10::cuda::getCurrentCUDAStream()); }

TEST(AdamWOnDevice, EqualsTheUpdateWrittenOut) {
  for (const int64_t n : {1, 3, 4, 5, 31, 32, 33, 1023, 1024, 1025, 2047, 2048, 2049, 4096, 70000, 1048576}) {
    const State s(n);
    const auto e = oracle(s, at::full({1}, kDecay, on_device(at::kDouble)));
    adamw({.parameters = s.p, .gradients = s.g, .first = s.m, .second = s.v, .copy = {}, .decays = {}}, kConstants, kDecay, s.scalars);
    expect_elements_close("p", s.p, e.p, 3e-6, 5e-6);
    expect_elements_close("m", s.m, e.m, 1e-6, 1e-6);
    expect_elements_close("v", s.v, e.v, 1e-6, 1e-6);
  }
}

// A shard in the middle of the flat buffer: decay by line, the copy, cleared gradients, nothing touched on either side.
TEST(AdamWOnDevice, ARangeWithDecayByLine) {
  for (const int64_t from : {int64_t{0}, int64_t{32}, int64_t{1024}, int64_t{4128}}) {
    for (const int64_t count : {int64_t{32}, int64_t{64}, int64_t{2048}, int64_t{2080}, int64_t{20000}}) {
      const int64_t size = from + count + 96;
      const State s(size);
      auto mask = empty_line_mask(size);
      const auto mark = [&](int64_t offset, int64_t length) {
        if (offset < size) mark_lines(mask, offset, std::min(length, size - offset));
      };
      mark(0, 40);  // its line is marked to the end
      mark(96, 1);
      mark(1056, 3000);
      mark(8192, size);
      std::vector<double> decay(size, 0.0);
      for (int64_t i = 0; i < size; ++i) {
        if ((mask[i / 1024] >> (i / 32 % 32)) & 1) decay[i] = kDecay;
      }
      const auto device_mask = at::tensor(std::vector<int64_t>(mask.begin(), mask.end()), at::kLong).to(at::kInt).to(at::kCUDA);
      const auto e = oracle(s, at::tensor(decay, at::kDouble).to(at::kCUDA));
      const auto old_p = s.p.clone(), old_g = s.g.clone(), old_m = s.m.clone();
      auto update = s.update(from, count);
      update.decays = reinterpret_cast<const uint32_t*>(device_mask.const_data_ptr<int32_t>());
      update.zero_gradients = true;
      run(update);
      const std::string what = "from " + std::to_string(from) + " ";
      const auto in = [&](const at::Tensor& t) { return t.narrow(0, from, count); };
      expect_elements_close(what + "p", in(s.p), in(e.p), 3e-6, 5e-6);
      expect_elements_close(what + "m", in(s.m), in(e.m), 1e-6, 1e-6);
      expect_elements_close(what + "v", in(s.v), in(e.v), 1e-6, 1e-6);
      EXPECT_TRUE(in(s.copy).equal(in(s.p).to(at::kBFloat16)))
          << what << "the copy is not the rounded parameters, count " << count;
      EXPECT_TRUE(in(s.g).eq(0).all().item<bool>()) << what << "gradients remain, count " << count;
      for (const auto& [begin, length] : {std::pair{int64_t{0}, from}, std::pair{from + count, size - from - count}}) {
        EXPECT_TRUE(s.p.narrow(0, begin, length).equal(old_p.narrow(0, begin, length))) << what << count;
        EXPECT_TRUE(s.g.narrow(0, begin, length).equal(old_g.narrow(0, begin, length))) << what << count;
        EXPECT_TRUE(s.m.narrow(0, begin, length).equal(old_m.narrow(0, begin, length))) << what << count;
        EXPECT_TRUE(s.copy.narrow(0, begin, length).eq(77).all().item<bool>()) << what << count;
      }
    }
  }
}

TEST(AdamWOnDevice, ASkippedStepOnlyClearsGradients) {
  for (const int64_t n : {32, 2048, 5000}) {
    const State s(n);
    s.g[7].fill_(NAN);
    s.skip.fill_(1);
    const auto p = s.p.clone(), m = s.m.clone(), v = s.v.clone(), g = s.g.clone();
    run(s.update(0, n));
    EXPECT_TRUE(at::where(s.g.isnan(), 0.0, s.g).equal(at::where(g.isnan(), 0.0, g))) << n;
    auto update = s.update(0, n);
    update.zero_gradients = true;
    run(update);
    EXPECT_TRUE(s.p.equal(p) && s.m.equal(m) && s.v.equal(v)) << n;
    EXPECT_TRUE(s.copy.eq(77).all().item<bool>()) << n;
    EXPECT_TRUE(s.g.eq(0).all().item<bool>()) << n;
  }
}

TEST(AdamWOnDevice, ZeroGradientAndMomentsMoveNothingButDecay) {
  const State s(4096);
  s.g.zero_();
  s.m.zero_();
  s.v.zero_();
  const auto expected = s.p.to(at::kDouble) * (1 - kRate * kDecay);
  run(s.update(0, 4096));
  expect_elements_close("p", s.p, expected, 1e-6, 1e-7);
}

TEST(AdamWOnDevice, RefusesWhatIsNotAligned) {
  const State s(64);
  auto update = s.update(0, 32);
  update.parameters += 1;
  try {
    run(update);
    ADD_FAILURE() << "an odd pointer was taken";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("16 bytes"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace lacuna
