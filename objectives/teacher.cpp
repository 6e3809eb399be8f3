#include "objectives/teacher.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/zeros.h>

#include "data/error.h"
#include "objectives/catalog.h"
#include "trainer/checkpoint/checkpoints.h"
#include "trainer/config/experiment.h"
#include "trainer/model/catalog.h"

namespace lacuna {

struct Teacher::Network {
  ParameterTable table;
  std::unique_ptr<Architecture> architecture;
};

Teacher::Teacher(std::string checkpoint, double share, int64_t tokenizer_size)
    : checkpoint_(std::move(checkpoint)), share_(share), tokenizer_size_(tokenizer_size) {}

Teacher::Network& Teacher::network(const at::Tensor& like) {
  if (network_) return *network_;
  const auto checkpoint = open_together(checkpoint_, mesh_->world());
  const auto refuse = [&](const std::string& why) {
    return usage_error("objective.teacher: " + checkpoint.folder().string() + " " + why);
  };
  const auto folder = checkpoint.folder();
  const auto e = read_experiment_text(checkpoint.meta().config, folder.string(), folder, {});
  const auto& architecture = find_architecture(e.architecture);
  const auto offers = architecture.offers(e.architecture, mesh_->tensor().size());
  if (offers.modality != "text" || offers.encoder || offers.bytes || offers.candidates ||
      offers.visibility != Visibility::causal) {
    throw refuse("is no causal decoder of tokens; train one with objective.kind = \"next_token\"");
  }
  auto made = std::make_shared<Network>();
  const int64_t vocabulary = tokenizer_size_ + find_objective(e.objective).needs(e.objective).num_special_tokens;
  made->architecture = architecture.make(e.architecture, {.mesh = *mesh_,
                                                          .parameters = made->table,
                                                          .vocabulary_size = vocabulary,
                                                          .max_length = e.batch.sequence_length,
                                                          .seed = 0,
                                                          .operations = *operations_});
  const torch::NoGradGuard no_grad;
  for (auto& p : made->table.list(*made->architecture)) {
    const auto name = "parameter." + p.name;
    if (!checkpoint.contains(name) || checkpoint.full_shape(name) != p.full_shape) {
      throw refuse("has another vocabulary than the corpora, or other parameters than its config says (" + p.name + ")");
    }
    const bool split = p.partition_dim >= 0;
    p.value.copy_(checkpoint.read(name, p.partition_dim, split ? mesh_->tensor().rank() : 0, split ? mesh_->tensor().size() : 1));
    p.value.set_requires_grad(false);
  }
  made->architecture->to(like.device(), like.scalar_type());
  made->architecture->eval();
  network_ = std::move(made);
  return *network_;
}

at::Tensor Teacher::logits(const Batch& batch, const at::Tensor& like) {
  const torch::NoGradGuard no_grad;
  auto& architecture = *network(like).architecture;
  const auto joined = joined_text(batch);
  const auto states = architecture.forward(joined.text).states;
  const auto picked = states.gather(1, joined.places.unsqueeze(-1).expand({-1, -1, states.size(-1)}));
  return architecture.head().logits(picked).narrow(-1, 0, tokenizer_size_);
}

Loss Teacher::loss(const Head& student, const at::Tensor& states, const Batch& batch) {
  const auto entropy = student.loss(states, batch.targets, batch.weights);
  const auto theirs = at::log_softmax(logits(batch, states), -1);
  const auto ours = at::log_softmax(student.logits(states).narrow(-1, 0, tokenizer_size_), -1);
  const auto divergence = ((theirs.exp() * (theirs - ours)).sum(-1) * batch.weights).sum();
  const auto learnt = share_ * divergence + (1 - share_) * entropy;
  return {.sum = learnt + (entropy - learnt).detach(), .metrics = {{"teacher_kl", divergence.detach()}}};
}

JoinedText joined_text(const Batch& batch) {
  if (!batch.encoder_tokens.defined()) {  // one text already
    const auto slots = at::arange(batch.length(), batch.tokens.options().dtype(at::kLong)).expand_as(batch.tokens);
    Batch text;
    text.tokens = batch.tokens, text.segments = batch.segments, text.positions = batch.positions,
    text.documents = batch.documents;
    return {std::move(text), slots};
  }
  const auto &source = batch.encoder_segments, &target = batch.segments;
  // Of slots `of`, how many of the segment's slots `among` there are, and how many of earlier segments.
  const auto same = [](const at::Tensor& of, const at::Tensor& among) {
    return of.unsqueeze(-1).eq(among.unsqueeze(-2)).sum(-1, false, at::kInt);
  };
  const auto earlier = [](const at::Tensor& of, const at::Tensor& among) {
    return of.unsqueeze(-1).gt(among.unsqueeze(-2)).logical_and(among.unsqueeze(-2).ne(0)).sum(-1, false, at::kInt);
  };
  const auto start = [&](const at::Tensor& of) { return earlier(of, source) + earlier(of, target); };
  const int64_t length = source.size(1) + target.size(1);
  const auto of_source = batch.encoder_positions, of_target = (same(target, source) - 1).clamp_min(0) + batch.positions;
  const auto placed = [&](const at::Tensor& segments, const at::Tensor& positions) {
    return (start(segments) + positions)
        .masked_fill(segments.eq(0), length)
        .to(at::kLong);  // padding behind the end, and cut off
  };
  const auto from = placed(source, of_source), to = placed(target, of_target);
  const auto text = [&](const at::Tensor& read, const at::Tensor& written) {
    auto row = at::zeros({batch.rows(), length + 1}, read.options());
    return row.scatter(1, from, read).scatter(1, to, written).narrow(1, 0, length).contiguous();
  };
  Batch joined;
  joined.tokens = text(batch.encoder_tokens, batch.tokens);
  joined.segments = text(source, target);
  joined.positions = text(of_source, of_target);
  return {std::move(joined), to.clamp_max(length - 1)};
}

}  // namespace lacuna
