#include "trainer/model/embedding.h"

#include <torch/csrc/autograd/custom_function.h>

#include "trainer/kernels/embedding.h"
#include "trainer/model/kept.h"

namespace lacuna {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

// Rows of the token table and of the position table, added.
class EmbeddingNode : public torch::autograd::Function<EmbeddingNode> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& ids, const at::Tensor& table,
                            const std::optional<at::Tensor>& position_table, const std::optional<at::Tensor>& positions,
                            const StreamLayout* stream) {
    const auto* axis = stream->axis;
    const int64_t first = axis->rank() * table.size(0);
    keep(ctx, *stream);
    ctx->saved_data["ids"] = ids;
    ctx->saved_data["gradient"] = table.grad();
    ctx->saved_data["first"] = first;
    if (position_table) ctx->saved_data["position_gradient"] = position_table->grad();
    if (positions) ctx->saved_data["positions"] = *positions;
    // One rank of the axis adds the positions, which all hold.
    const auto added = axis->rank() == 0 ? position_table.value_or(at::Tensor()) : at::Tensor();
    return stream->summed(embed(ids, table, first, added, positions.value_or(at::Tensor())));
  }

  static tensor_list backward(AutogradContext* ctx, const tensor_list& gradients) {
    auto& saved = ctx->saved_data;
    const auto stream = take<StreamLayout>(ctx);
    const auto dx = stream.gathered(gradients[0].contiguous());
    add_embedding_gradient(saved["ids"].toTensor(), dx, saved["gradient"].toTensor(), saved["first"].toInt());
    if (saved.count("position_gradient") > 0 && stream.adds_whole()) {
      const auto gradient = saved["position_gradient"].toTensor();
      if (saved.count("positions") > 0) {
        add_embedding_gradient(saved["positions"].toTensor(), dx, gradient);
      } else {
        add_position_gradient(dx, gradient);
      }
    }
    return {{}, {}, {}, {}, {}};
  }
};

std::optional<at::Tensor> given(const at::Tensor& t) { return t.defined() ? std::optional(t) : std::nullopt; }

}  // namespace

VocabParallelEmbedding::VocabParallelEmbedding(const ModelContext& context, int64_t hidden_size)
    : operations_(context.operations) {
  weight_ = context.parameters.declare_table(*this, "weight", padded_vocabulary(context.vocabulary_size), hidden_size,
                                             context.mesh.tensor().size());
}

at::Tensor VocabParallelEmbedding::forward(const at::Tensor& ids, const StreamLayout& stream) const {
  return stream.leave(operations_.embedding(ids, weight_, stream.axis->rank() * weight_.size(0)));
}

ResidualStream VocabParallelEmbedding::forward(const at::Tensor& ids, const StreamLayout& stream, const at::Tensor& position_table,
                                               const at::Tensor& positions) const {
  return {EmbeddingNode::apply(ids, weight_, given(position_table), given(positions), &stream), {}};
}

}  // namespace lacuna
