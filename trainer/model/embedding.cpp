#include "trainer/model/embedding.h"

#include <torch/csrc/autograd/custom_function.h>

#include "trainer/kernels/embedding.h"
#include "trainer/parallel/collectives.h"

namespace lacuna {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

// Rows of the token table and of the position table, added.
class EmbeddingNode : public torch::autograd::Function<EmbeddingNode> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& ids, const at::Tensor& table,
                            const std::optional<at::Tensor>& position_table, const std::optional<at::Tensor>& positions,
                            Communicator* axis) {
    const int64_t first = axis->rank() * table.size(0);
    ctx->saved_data["ids"] = ids;
    ctx->saved_data["gradient"] = table.grad();
    ctx->saved_data["first"] = first;
    if (position_table) ctx->saved_data["position_gradient"] = position_table->grad();
    if (positions) ctx->saved_data["positions"] = *positions;
    // One rank of the axis adds the positions, which all hold.
    const auto added = axis->rank() == 0 ? position_table.value_or(at::Tensor()) : at::Tensor();
    auto x = embed(ids, table, first, added, positions.value_or(at::Tensor()));
    if (axis->size() > 1) axis->all_reduce(x, Reduce::sum);
    return x;
  }

  static tensor_list backward(AutogradContext* ctx, const tensor_list& gradients) {
    auto& saved = ctx->saved_data;
    const auto dx = gradients[0].contiguous();
    add_embedding_gradient(saved["ids"].toTensor(), dx, saved["gradient"].toTensor(), saved["first"].toInt());
    if (saved.count("position_gradient") > 0) {
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
    : axis_(context.mesh.tensor()), operations_(context.operations) {
  weight_ = context.parameters.declare(*this, "weight", {padded_vocabulary(context.vocabulary_size), hidden_size}, 0, axis_.size(),
                                       InitialValues::normal);
}

at::Tensor VocabParallelEmbedding::forward(const at::Tensor& ids) const {
  return reduce_from_axis(operations_.embedding(ids, weight_, axis_.rank() * weight_.size(0)), axis_);
}

ResidualStream VocabParallelEmbedding::forward(const at::Tensor& ids, const at::Tensor& position_table,
                                               const at::Tensor& positions) const {
  return {EmbeddingNode::apply(ids, weight_, given(position_table), given(positions), &axis_), {}};
}

}  // namespace lacuna
