#include "trainer/evaluate/sampling.h"

#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace lacuna {

int32_t sample_token(const at::Tensor& logits, const SamplingOptions& options, Random& random) {
  const auto contiguous = logits.to(at::kCPU, at::kFloat).contiguous();
  const std::span z(contiguous.const_data_ptr<float>(), static_cast<size_t>(contiguous.numel()));
  if (options.temperature == 0) return static_cast<int32_t>(std::max_element(z.begin(), z.end()) - z.begin());
  std::vector<int32_t> order(z.size());
  std::iota(order.begin(), order.end(), 0);
  const auto likelier = [&](int32_t a, int32_t b) {
    return z[static_cast<size_t>(a)] != z[static_cast<size_t>(b)] ? z[static_cast<size_t>(a)] > z[static_cast<size_t>(b)] : a < b;
  };
  std::sort(order.begin(), order.end(), likelier);
  if (options.top_k > 0 && options.top_k < static_cast<int64_t>(order.size())) order.resize(static_cast<size_t>(options.top_k));
  std::vector<double> mass(order.size());
  const double highest = z[static_cast<size_t>(order[0])];
  double total = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    mass[i] = std::exp((z[static_cast<size_t>(order[i])] - highest) / options.temperature);
    total += mass[i];
  }
  double kept = 0;
  size_t count = 0;
  while (count < mass.size() && (count == 0 || kept < options.top_p * total)) kept += mass[count++];
  double point = random.uniform() * kept;
  for (size_t i = 0; i + 1 < count; ++i) {
    if (point < mass[i]) return order[i];
    point -= mass[i];
  }
  return order[count - 1];
}

std::vector<int32_t> continue_text(const StartGeneration& start, Communicator& world, const std::vector<int32_t>& prompt,
                                   const ContinueOptions& options, const SamplingOptions& sampling, uint64_t seed) {
  Random random = Random(seed, 3).fork("generate");
  std::vector<int32_t> text = prompt;
  std::unique_ptr<Generation> generation;
  size_t read = 0;
  while (static_cast<int64_t>(text.size() - prompt.size()) < options.max_tokens) {
    if (!generation || generation->length() == options.context) {
      generation = start(1);
      const auto longest = static_cast<size_t>(read == 0 ? options.context : std::max<int64_t>(options.context / 2, 1));
      read = text.size() - std::min(text.size(), longest);
    }
    const auto unread = at::tensor(std::vector<int32_t>(text.begin() + static_cast<ptrdiff_t>(read), text.end()), at::kInt).unsqueeze(0);
    const auto logits = generation->advance(unread)[0].narrow(0, 0, options.vocabulary_size);
    read = text.size();
    auto next = at::zeros({1}, at::kInt).fill_(sample_token(logits, sampling, random));
    world.broadcast(next, 0);  // rounding must not lead ranks apart
    const auto token = next.item<int32_t>();
    if (token == options.end_token) break;
    text.push_back(token);
  }
  return {text.begin() + static_cast<ptrdiff_t>(prompt.size()), text.end()};
}

}  // namespace lacuna
