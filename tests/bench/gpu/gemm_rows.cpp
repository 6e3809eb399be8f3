// Every matrix product of a block's linear layers: the best of eight suggestions beside ATen; the library's first suggestion;
// GELU fused into the products beside passes of its own.
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/gelu_backward.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/zeros.h>
#include <c10/cuda/CUDAStream.h>

#include "tests/bench/gpu/rows.h"
#include "trainer/kernels/gemm_cuda.h"

namespace lacuna::bench {
namespace {

using cuda::Element;
using cuda::Fusion;
using cuda::Gemm;
using cuda::LinearShape;

struct Model {
  const char* name;
  int64_t tokens, width, packed, feed_forward;  // packed: of queries, keys and values
  bool gelu;
};
constexpr Model kModels[] = {{"124M", 65536, 768, 2304, 3072, true},
                             {"774M", 16384, 1280, 3840, 5120, true},
                             {"1558M", 16384, 1600, 4800, 6400, true},
                             {"Qwen 0.5B", 32768, 896, 1152, 4864, false}};

at::TensorOptions options(at::ScalarType type = at::kBFloat16) { return at::TensorOptions().device(at::kCUDA).dtype(type); }
cudaStream_t stream() { return c10::cuda::getCurrentCUDAStream().stream(); }
cuda::GemmInput in(const at::Tensor& t) { return {t.data_ptr(), t.stride(0)}; }
cuda::GemmOutput out(const at::Tensor& t) { return {t.data_ptr(), t.stride(0)}; }

struct Ways {
  Gemm best;
  Gemm first{{.num_suggestions = 1, .fusion = Fusion::never}};
  Gemm fused{{.fusion = Fusion::always}}, separate{{.fusion = Fusion::never}};
};

// The tensors of one layer.
struct Layer {
  explicit Layer(const LinearShape& s)
      : shape(s),
        x(at::randn({s.rows, s.in}, options())),
        w(at::randn({s.out, s.in}, options())),
        bias(at::randn({s.out}, options())),
        dy(at::randn({s.rows, s.out}, options())),
        pre(at::randn({s.rows, s.in}, options())),
        y(at::empty({s.rows, s.out}, options())),
        kept(at::empty({s.rows, s.out}, options())),
        dx(at::empty({s.rows, s.in}, options())),
        dw(at::zeros({s.out, s.in}, options(at::kFloat))),
        sums(at::zeros({std::max(s.in, s.out)}, options(at::kFloat))) {}
  Work work() const { return {.flops = 2.0 * static_cast<double>(shape.rows) * shape.in * shape.out}; }

  LinearShape shape;
  at::Tensor x, w, bias, dy, pre, y, kept, dx, dw, sums;
};

void plain_rows(Table& table, Ways& ways, const std::string& name, const LinearShape& s, bool with_bias) {
  const Layer l(s);
  const auto size = " " + std::to_string(s.rows) + "x" + std::to_string(s.in) + "x" + std::to_string(s.out);
  const auto forward = [&](Gemm& gemm) {
    gemm.forward(s, in(l.x), in(l.w), with_bias ? l.bias.data_ptr() : nullptr, out(l.y), false, stream());
  };
  const auto backward = [&](Gemm& gemm) { gemm.input_gradient(s, in(l.dy), in(l.w), out(l.dx), false, stream()); };
  const auto weight = [&](Gemm& gemm) {
    gemm.weight_gradient(s, in(l.dy), in(l.x), l.dw.data_ptr<float>(), s.in, true, with_bias ? l.sums.data_ptr<float>() : nullptr,
                         stream());
  };
  auto y = l.y, dx = l.dx;
  table.row(
      name + " forward" + size, l.work(), [&] { forward(ways.best); },
      [&] { with_bias ? at::addmm_out(y, l.bias, l.x, l.w.t()) : at::mm_out(y, l.x, l.w.t()); });
  table.row(name + " forward, first suggestion", l.work(), [&] { forward(ways.first); });
  table.row(
      name + " input gradient", l.work(), [&] { backward(ways.best); }, [&] { at::mm_out(dx, l.dy, l.w); });
  table.row(name + " input gradient, first suggestion", l.work(), [&] { backward(ways.first); });
  const auto aten_weight = [&] {  // bf16 out of the product, then added in fp32
    l.dw.add_(at::mm(l.dy.t(), l.x));
    if (with_bias) l.sums.narrow(0, 0, s.out).add_(l.dy.sum(0));
  };
  table.row(
      name + " weight gradient", l.work(), [&] { weight(ways.best); }, aten_weight);
  table.row(name + " weight gradient, first suggestion", l.work(), [&] { weight(ways.first); });
}

void gelu_rows(Table& table, Ways& ways, const Model& m) {
  const std::string name = m.name;
  {
    const LinearShape s{Element::bf16, m.tokens, m.width, m.feed_forward};
    const Layer l(s);
    const auto run = [&](Gemm& gemm) {
      gemm.forward_gelu(s, in(l.x), in(l.w), l.bias.data_ptr(), out(l.y), out(l.kept), stream());
    };
    auto y = l.y, kept = l.kept;
    table.row(
        name + " up, bias and GELU", l.work(), [&] { run(ways.best); },
        [&] {
          at::addmm_out(kept, l.bias, l.x, l.w.t());
          at::gelu_out(y, kept, "tanh");
        });
    table.row(name + " up, GELU fused", l.work(), [&] { run(ways.fused); });
    table.row(name + " up, GELU separate", l.work(), [&] { run(ways.separate); });
  }
  const LinearShape s{Element::bf16, m.tokens, m.feed_forward, m.width};
  const Layer l(s);
  const auto run = [&](Gemm& gemm) {
    gemm.input_gradient_gelu(s, in(l.dy), in(l.w), in(l.pre), out(l.dx), l.sums.data_ptr<float>(), stream());
  };
  auto dx = l.dx;
  table.row(
      name + " down, gradient through GELU and bias", l.work(), [&] { run(ways.best); },
      [&] {
        at::mm_out(dx, l.dy, l.w);
        l.sums.narrow(0, 0, s.in).add_(at::gelu_backward(dx, l.pre, "tanh").sum(0));
      });
  table.row(name + " down, GELU fused", l.work(), [&] { run(ways.fused); });
  table.row(name + " down, GELU separate", l.work(), [&] { run(ways.separate); });
}

}  // namespace

void gemm_rows(Table& table) {
  Ways ways;
  for (const auto& m : kModels) {
    const auto shape = [&](int64_t from, int64_t to) { return LinearShape{Element::bf16, m.tokens, from, to}; };
    const std::string name = m.name;
    plain_rows(table, ways, name + " packed", shape(m.width, m.packed), true);
    plain_rows(table, ways, name + " projection", shape(m.width, m.width), m.gelu);
    plain_rows(table, ways, name + " up", shape(m.width, m.gelu ? m.feed_forward : 2 * m.feed_forward), m.gelu);
    plain_rows(table, ways, name + " down", shape(m.feed_forward, m.width), m.gelu);
    if (m.gelu) gelu_rows(table, ways, m);
  }
  plain_rows(table, ways, "124M head, 8192 rows", {Element::bf16, 8192, 768, 50304}, false);
  const auto report = ways.best.report();
  table.note(std::to_string(report.num_timed) + " products were timed in " + std::to_string(report.seconds_spent) + " s");
}

}  // namespace lacuna::bench
