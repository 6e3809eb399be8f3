// Kernels that read and write rows once. Bytes are counted by hand: u is one (N, D) activation in bf16.
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/embedding_dense_backward.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/gelu_backward.h>
#include <ATen/ops/native_layer_norm.h>
#include <ATen/ops/native_layer_norm_backward.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/rms_norm.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/silu_backward.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/zeros.h>

#include <cmath>

#include "tests/bench/gpu/rows.h"
#include "trainer/kernels/activations.h"
#include "trainer/kernels/dropout.h"
#include "trainer/kernels/embedding.h"
#include "trainer/kernels/residual_norm.h"
#include "trainer/kernels/rotary.h"

namespace lacuna::bench {
namespace {

constexpr int64_t kRows = 65536, kBatch = 64, kLength = 1024;
constexpr double kElement = 2;  // bytes

at::TensorOptions options(at::ScalarType type = at::kBFloat16) { return at::TensorOptions().device(at::kCUDA).dtype(type); }
std::string sized(const std::string& name, int64_t width) {
  return name + " " + std::to_string(kRows) + "x" + std::to_string(width);
}

void norms(Table& table, int64_t width, bool centred) {
  const std::string kind = centred ? "layer norm" : "RMS norm";
  const double u = kElement * kRows * static_cast<double>(width);
  const auto residual = at::randn({kRows, width}, options()), delta = at::randn({kRows, width}, options());
  NormParameters p{.weight = at::randn({width}, options()), .centred = centred};
  if (centred) p.bias = at::randn({width}, options());
  NormState state;
  auto normed = residual_norm(residual, delta, p, state);
  table.row(
      sized("residual + " + kind, width), {.bytes = 4 * u}, [=]() mutable { residual_norm(residual, delta, p, state, normed); },
      [=] {
        const auto sum = residual + delta;
        if (centred) {
          at::native_layer_norm(sum, {width}, p.weight, p.bias, p.epsilon);
        } else {
          at::rms_norm(sum, {width}, p.weight, p.epsilon);
        }
      });
  table.row(sized(kind + " computed again", width), {.bytes = 2 * u}, [=] { renormed(state, p, normed); });
  const auto dy = at::randn({kRows, width}, options()), d_sum = at::randn({kRows, width}, options());
  NormGradients gradients{.weight = at::zeros({width}, options(at::kFloat))};
  if (centred)
    gradients.bias = at::zeros({width}, options(at::kFloat)), gradients.d_sums = at::zeros({width}, options(at::kFloat));
  const auto backward = [=] { residual_norm_backward(dy, d_sum, state, p, gradients, d_sum); };
  const std::string name =
      sized(kind + (centred ? " backward + residual gradient + its column sums" : " backward + residual gradient"), width);
  if (centred) {
    const auto mean = state.mean.unsqueeze(-1), rstd = state.rstd.unsqueeze(-1);
    table.row(name, {.bytes = 4 * u}, backward, [=] {
      const auto all = at::native_layer_norm_backward(dy, state.sum, {width}, mean, rstd, p.weight, p.bias, {true, true, true});
      const auto d = std::get<0>(all) + d_sum;
      gradients.d_sums.add_(d.sum(0, false, at::kFloat));
    });
  } else {
    table.row(name, {.bytes = 4 * u}, backward);
  }
}

void plain_activation(Table& table, Nonlinearity f, const char* name, const char* approximation, int64_t width) {
  const double u = kElement * kRows * static_cast<double>(width);
  const auto x = at::randn({kRows, width}, options()), dy = at::randn({kRows, width}, options());
  auto y = at::empty_like(x);
  const auto sums = at::zeros({width}, options().dtype(at::kFloat));
  table.row(
      sized(name, width), {.bytes = 2 * u}, [=] { activation(f, x, y); }, [=] { at::gelu(x, approximation); });
  table.row(
      sized(std::string(name) + " backward", width), {.bytes = 3 * u}, [=] { activation_backward(f, dy, x); },
      [=] { at::gelu_backward(dy, x, approximation); });
  table.row(
      sized(std::string(name) + " backward and column sums", width), {.bytes = 3 * u}, [=] { activation_backward(f, dy, x, sums); },
      [=] { sums.add_(at::gelu_backward(dy, x, approximation).sum(0, false, at::kFloat)); });
}

void gated(Table& table, Nonlinearity f, const char* name, int64_t size) {
  const double u = kElement * kRows / 2 * static_cast<double>(size);
  const auto packed = at::randn({kRows / 2, 2 * size}, options()), dy = at::randn({kRows / 2, size}, options());
  const auto gate = packed.narrow(1, 0, size), up = packed.narrow(1, size, size);
  auto y = at::empty_like(dy), d = at::empty_like(packed);
  const bool silu = f == Nonlinearity::silu;
  const auto shaped = [=] { return silu ? at::silu(gate) : at::gelu(gate, "none"); };
  const std::string title = std::string(name) + " " + std::to_string(kRows / 2) + "x" + std::to_string(size);
  table.row(
      title, {.bytes = 3 * u}, [=] { gated_activation(f, packed, y); }, [=] { shaped() * up; });
  table.row(
      title + " backward", {.bytes = 5 * u}, [=] { gated_activation_backward(f, dy, packed, d); },
      [=] {
        const auto d_up = dy * shaped(), d_shaped = dy * up;
        const auto d_gate = silu ? at::silu_backward(d_shaped, gate) : at::gelu_backward(d_shaped, gate, "none");
        at::cat({d_gate, d_up}, 1);
      });
}

void rotation(Table& table, int64_t heads, int64_t kv_heads, int64_t head_size) {
  const int64_t width = (heads + 2 * kv_heads) * head_size;
  const auto qkv = at::randn({kBatch, kLength, width}, options());
  const auto turns = rotary_table(kLength, head_size, 1e6, at::kCUDA);
  const double bytes = 2 * kElement * kRows * static_cast<double>((heads + kv_heads) * head_size);
  const auto both = qkv.view({kBatch, kLength, -1, head_size}).narrow(2, 0, heads + kv_heads).transpose(1, 2);
  auto angles = rotary_angles(at::arange(kLength, options(at::kLong)), head_size, 1e6);
  angles = {angles.cosine.to(at::kBFloat16), angles.sine.to(at::kBFloat16)};
  table.row(
      "rotary, " + std::to_string(heads) + " + " + std::to_string(kv_heads) + " heads of " + std::to_string(head_size),
      {.bytes = bytes}, [=] { turn_heads(qkv, heads, kv_heads, turns); }, [=] { rotary(both, angles); });
}

// Frequencies of words: id r comes with a probability about 1 / r.
at::Tensor words(int64_t vocabulary) {
  const auto ids = at::rand({kBatch, kLength}, options(at::kDouble)).mul(std::log(static_cast<double>(vocabulary))).exp();
  return ids.to(at::kInt).sub_(1).clamp_(0, vocabulary - 1);
}

void embeddings(Table& table) {
  constexpr int64_t kVocabulary = 50304, kWidth = 768;
  const double u = kElement * kRows * kWidth;
  const auto weight = at::randn({kVocabulary, kWidth}, options()), places = at::randn({kLength, kWidth}, options());
  const auto ids = words(kVocabulary), same = at::zeros({kBatch, kLength}, options(at::kInt)) + 11;
  auto out = at::randn({kBatch, kLength, kWidth}, options());
  const auto gradient = at::zeros({kVocabulary, kWidth}, options(at::kFloat));
  const auto place_gradient = at::zeros({kLength, kWidth}, options(at::kFloat));
  table.row(
      sized("embedding + positions", kWidth), {.bytes = 2 * u}, [=] { embed(ids, weight, 0, places, {}, out); },
      [=] { at::embedding(weight, ids) + places; });
  const auto d = at::randn({kBatch, kLength, kWidth}, options());
  const auto uniform = at::randint(kVocabulary, {kBatch, kLength}, options(at::kInt));
  const auto aten = [=](const at::Tensor& given) {
    return [=] { at::embedding_dense_backward(d, given, kVocabulary, -1, false); };
  };
  table.row(
      sized("embedding backward, words", kWidth), {.bytes = u}, [=] { add_embedding_gradient(ids, d, gradient); }, aten(ids));
  table.row(
      sized("embedding backward, uniform ids", kWidth), {.bytes = 5 * u}, [=] { add_embedding_gradient(uniform, d, gradient); },
      aten(uniform));
  table.row(
      sized("embedding backward, one id", kWidth), {.bytes = u}, [=] { add_embedding_gradient(same, d, gradient); }, aten(same));
  table.row(
      sized("position gradient", kWidth), {.bytes = u}, [=] { add_position_gradient(d, place_gradient); }, [=] { d.sum(0); });
}

void dropouts(Table& table) {
  constexpr int64_t kWidth = 768;
  const double u = kElement * kRows * kWidth;
  const auto x = at::randn({kBatch, kLength, kWidth}, options()), residual = at::randn({kBatch, kLength, kWidth}, options());
  const auto rows = at::arange(kBatch, options(at::kLong));
  auto out = at::empty_like(x);
  const Random site(3, 1);
  table.row(
      sized("dropout", kWidth), {.bytes = 2 * u}, [=] { add_dropout({}, x, 0.1, site, rows, out); },
      [=] { at::dropout(x, 0.1, true); });
  table.row(
      sized("residual + dropout", kWidth), {.bytes = 3 * u}, [=] { add_dropout(residual, x, 0.1, site, rows, out); },
      [=] { residual + at::dropout(x, 0.1, true); });
}

}  // namespace

void row_rows(Table& table) {
  for (const int64_t width : {768, 1600}) norms(table, width, true);
  for (const int64_t width : {896, 1536}) norms(table, width, false);
  plain_activation(table, Nonlinearity::gelu_tanh, "gelu_tanh", "tanh", 3072);
  plain_activation(table, Nonlinearity::gelu, "gelu", "none", 3072);
  gated(table, Nonlinearity::silu, "swiglu", 4864);
  gated(table, Nonlinearity::gelu, "geglu", 4864);
  rotation(table, 14, 2, 64);
  rotation(table, 12, 2, 128);
  table.note("Embedding backward: the words' rows of the table are far fewer than the rows read, so only those are counted");
  embeddings(table);
  dropouts(table);
}

}  // namespace lacuna::bench
