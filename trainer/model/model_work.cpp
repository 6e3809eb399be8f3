#include "trainer/model/model_work.h"

namespace lacuna {

double model_flops(const ModelWork& work) {
  double flops = 0;
  for (const auto& l : work.linears) {
    flops += 6 * l.count * static_cast<double>(l.rows) * static_cast<double>(l.in) * static_cast<double>(l.out);
  }
  // Scores and mixing are two products each way and one more backward for each.
  for (const auto& a : work.attention) {
    const double queries = static_cast<double>(a.rows * a.length), keys = a.visible * static_cast<double>(a.length);
    flops += 12 * a.count * queries * keys * static_cast<double>(a.num_heads * a.head_size);
  }
  return flops;
}

}  // namespace lacuna
