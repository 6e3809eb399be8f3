#include "trainer/evaluate/readout.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/nll_loss.h>
#include <ATen/ops/one_hot.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/topk.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include "data/random.h"

namespace lacuna {
namespace {

constexpr int64_t kSteps = 200, kHidden = 256, kFold = 5, kFewestForAFold = 40;
constexpr double kRate = 0.02, kMlpRate = 0.003;
constexpr std::array kPenalties = {1e-3, 1e-2, 1e-1};

at::Tensor parameter(const at::Tensor& value) { return value.detach().set_requires_grad(true); }

// Normal values of deviation 1 / sqrt(rows), the same every time.
at::Tensor drawn(int64_t rows, int64_t columns, uint64_t stream) {
  auto values = at::zeros({rows, columns}, at::kDouble);
  const auto random = Random(1, stream).fork("readout");
  auto* out = values.data_ptr<double>();
  for (int64_t i = 0; i < rows * columns; ++i) {
    out[i] = random.normal_block(static_cast<uint64_t>(i / 4))[static_cast<size_t>(i % 4)] / std::sqrt(static_cast<double>(rows));
  }
  return values;
}

struct Scaling {
  at::Tensor mean, deviation;  // (layers, 1, F)
  explicit Scaling(const at::Tensor& fit)
      : mean(fit.mean(1, true)), deviation((fit - mean).square().mean(1, true).sqrt().clamp_min(1e-6)) {}
  at::Tensor operator()(const at::Tensor& x) const { return (x - mean) / deviation; }
};

class Classifier {
 public:
  Classifier(Readout readout, int64_t layers, int64_t width, int64_t classes) : readout_(readout) {
    if (readout == Readout::mlp) {
      parameters_ = {parameter(drawn(width, kHidden, 1)), parameter(at::zeros({kHidden}, at::kDouble)),
                     parameter(drawn(kHidden, classes, 2)), parameter(at::zeros({classes}, at::kDouble))};
    } else {
      parameters_ = {parameter(at::zeros({width, classes}, at::kDouble)), parameter(at::zeros({classes}, at::kDouble))};
    }
    if (readout == Readout::weighted) parameters_.push_back(parameter(at::zeros({layers}, at::kDouble)));
  }

  at::Tensor logits(const at::Tensor& x) const {  // (layers, N, F)
    const auto& p = parameters_;
    const auto last = x[x.size(0) - 1];
    if (readout_ == Readout::mlp) return (last.matmul(p[0]) + p[1]).relu().matmul(p[2]) + p[3];
    const auto read = readout_ == Readout::weighted ? (x * at::softmax(p[2], 0).view({-1, 1, 1})).sum(0) : last;
    return read.matmul(p[0]) + p[1];
  }

  void fit(const at::Tensor& x, const at::Tensor& labels, double penalty) {
    const at::AutoGradMode with_graph(true);
    SmallAdam adam(parameters_, readout_ == Readout::mlp ? kMlpRate : kRate);
    for (int64_t step = 0; step < kSteps; ++step) {
      auto loss = at::nll_loss(at::log_softmax(logits(x), 1), labels);
      for (const auto& p : parameters_) {
        if (p.dim() == 2) loss = loss + penalty / 2 * p.square().sum();
      }
      adam.step(torch::autograd::grad({loss}, parameters_));
    }
  }

 private:
  Readout readout_;
  std::vector<at::Tensor> parameters_;
};

// Every fifth document aside, the penalty whose classifier tells most of them; of equals the larger one.
double chosen_penalty(Readout readout, const at::Tensor& x, const at::Tensor& labels, int64_t classes) {
  if (labels.size(0) < kFewestForAFold) return kPenalties[1];
  std::vector<int64_t> inside, aside;
  for (int64_t i = 0; i < labels.size(0); ++i) (i % kFold == kFold - 1 ? aside : inside).push_back(i);
  const auto fit = at::tensor(inside, at::kLong), judged = at::tensor(aside, at::kLong);
  double best = kPenalties[0];
  int64_t most = -1;
  for (const double penalty : kPenalties) {
    Classifier classifier(readout, x.size(0), x.size(2), classes);
    classifier.fit(x.index_select(1, fit), labels.index_select(0, fit), penalty);
    const auto right =
        classifier.logits(x.index_select(1, judged)).argmax(1).eq(labels.index_select(0, judged)).sum().item<int64_t>();
    if (right < most) continue;
    most = right;
    best = penalty;
  }
  return best;
}

}  // namespace

at::Tensor read_out(Readout readout, const at::Tensor& fit, const at::Tensor& labels, const at::Tensor& test, int64_t classes) {
  const at::NoGradGuard no_grad;
  const Scaling scaled(fit);
  const auto x = scaled(fit);
  Classifier classifier(readout, x.size(0), x.size(2), classes);
  classifier.fit(x, labels, chosen_penalty(readout, x, labels, classes));
  return classifier.logits(scaled(test)).argmax(1);
}

at::Tensor nearest_class(const at::Tensor& fit, const at::Tensor& labels, const at::Tensor& test, int64_t k, int64_t classes) {
  const at::NoGradGuard no_grad;
  const Scaling scaled(fit.unsqueeze(0));
  const auto direction = [&](const at::Tensor& x) {
    const auto y = scaled(x.unsqueeze(0))[0];
    return y / y.norm(2, 1, true).clamp_min(1e-12);
  };
  const auto cosines = direction(test).matmul(direction(fit).t());
  const auto found = std::get<1>(at::topk(cosines, std::min(k, fit.size(0)), 1));
  const auto votes =
      at::one_hot(labels.index_select(0, found.flatten()), classes).view({found.size(0), found.size(1), classes}).to(at::kDouble);
  auto counts = votes.sum(1);
  counts += votes.select(1, 0) * 0.5;  // the nearest decides between equals
  return counts.argmax(1);
}

SmallAdam::SmallAdam(std::vector<at::Tensor> parameters, double rate) : parameters_(std::move(parameters)), rate_(rate) {
  for (const auto& p : parameters_) {
    means_.push_back(at::zeros_like(p, p.options().requires_grad(false)));
    squares_.push_back(at::zeros_like(p, p.options().requires_grad(false)));
  }
}

void SmallAdam::step(const std::vector<at::Tensor>& gradients) {
  const at::NoGradGuard no_grad;
  constexpr double kBeta1 = 0.9, kBeta2 = 0.999, kEpsilon = 1e-8;
  ++steps_;
  const double unbias1 = 1 - std::pow(kBeta1, static_cast<double>(steps_)),
               unbias2 = 1 - std::pow(kBeta2, static_cast<double>(steps_));
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (!gradients[i].defined()) continue;
    means_[i].mul_(kBeta1).add_(gradients[i], 1 - kBeta1);
    squares_[i].mul_(kBeta2).addcmul_(gradients[i], gradients[i], 1 - kBeta2);
    parameters_[i].addcdiv_(means_[i], (squares_[i] / unbias2).sqrt_().add_(kEpsilon), -rate_ / unbias1);
  }
}

}  // namespace lacuna
