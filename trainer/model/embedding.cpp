#include "trainer/model/embedding.h"

#include "trainer/kernels/embedding.h"
#include "trainer/parallel/collectives.h"

namespace lacuna {

VocabParallelEmbedding::VocabParallelEmbedding(const ModelContext& context, int64_t hidden_size) : axis_(context.mesh.tensor()) {
  weight_ = context.parameters.declare(*this, "weight", {padded_vocabulary(context.vocabulary_size), hidden_size}, 0, axis_.size(),
                                       InitialValues::normal);
}

at::Tensor VocabParallelEmbedding::forward(const at::Tensor& ids) const {
  return reduce_from_axis(lacuna::embedding(ids, weight_, axis_.rank() * weight_.size(0)), axis_);
}

}  // namespace lacuna
