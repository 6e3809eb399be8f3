// How a network is compared with the program that made a golden file, which names a parameter's values "initial/NAME" and its
// gradient "gradient/NAME".
#pragma once
#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "tests/golden/golden_file.h"
#include "tests/support/network.h"

namespace lacuna::testing {

// The rows of a parameter that PyTorch has; ours is padded where it is a table over the vocabulary.
inline at::Tensor real_rows(const at::Tensor& ours, const at::Tensor& theirs) { return ours.narrow(0, 0, theirs.size(0)); }

// Begins with the file's values, which must be of the same parameters.
inline void set_initial_values(const std::vector<ParameterSpec>& parameters, const GoldenFile& golden) {
  const at::NoGradGuard no_grad;
  std::set<std::string> ours;
  for (const auto& p : parameters) {
    ours.insert(p.name);
    const auto value = golden["initial/" + p.name];
    p.value.fill_(0.5);  // what stays in the padding must not count
    real_rows(p.value, value).copy_(value);
  }
  const auto theirs = golden.names("initial/");
  EXPECT_EQ(ours, std::set<std::string>(theirs.begin(), theirs.end()));
}

// Every gradient, within `tolerance` of its own size, and none in the padding.
inline void expect_gradients(const std::vector<ParameterSpec>& parameters, const GoldenFile& golden, double tolerance = 1e-5) {
  double squares = 0;
  for (const auto& p : parameters) squares += golden["gradient/" + p.name].pow(2).sum().item<double>();
  for (const auto& p : parameters) {
    const auto expected = golden["gradient/" + p.name];
    const auto whole = p.value.grad().defined() ? p.value.grad() : at::zeros_like(p.value);
    const auto actual = real_rows(whole, expected);
    // A key's bias adds one number to all scores of a query, which the softmax takes out again: rounding is left.
    if (expected.norm().item<double>() < 1e-9 * std::sqrt(squares)) {
      EXPECT_LT(actual.norm().item<double>(), 1e-6 * std::sqrt(squares)) << p.name;
    } else {
      EXPECT_LT(relative_error(actual, expected), tolerance) << p.name;
    }
    const auto padding = whole.narrow(0, expected.size(0), whole.size(0) - expected.size(0));
    EXPECT_EQ(padding.abs().sum().item<double>(), 0) << p.name << ", padding";
  }
}

}  // namespace lacuna::testing
