// The contrastive loss of SSAST (Gong et al. 2022, equation 1, and its released code): which of a row's masked patches is it?
#pragma once
#include <ATen/core/Tensor.h>

#include <array>
#include <string_view>

namespace lacuna {

// Of scores S[i][j] = patch i . prediction j, over what the softmax runs: pred, as in the code, asks each patch for its
// prediction; target, as in the paper, each prediction for its patch. One is the other of S transposed.
enum class ContrastAxis { pred, target };
constexpr std::array<std::string_view, 2> names_of(ContrastAxis) { return {"pred", "target"}; }

struct Contrast {
  at::Tensor losses;   // (B, N) float32, -log of the right pair's share; finite where weights are 0
  at::Tensor correct;  // (B, N) float32, 1 where the right pair scores highest on the same axis, else 0
};
// predictions and patches (B, N, P) float32. Without temperature and without normalisation, against the other patches of the row.
// What has weight 0 of weights (B, N) is no candidate either.
Contrast contrast(const at::Tensor& predictions, const at::Tensor& patches, const at::Tensor& weights, ContrastAxis axis);

}  // namespace lacuna
