#include "data/documents.h"

#include <ATen/ops/full.h>

#include <algorithm>
#include <bit>
#include <vector>

namespace lacuna {
namespace {

int64_t power_of_two(int64_t at_least) { return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(at_least))); }

}  // namespace

int64_t usual_documents(int64_t rows) { return power_of_two(4 * rows); }

at::Tensor document_starts(const at::Tensor& segments) {
  const int64_t rows = segments.size(0), length = segments.size(1);
  const auto* segment = segments.const_data_ptr<int32_t>();
  std::vector<int32_t> starts;
  for (int64_t i = 0; i < rows * length; ++i) {
    if (i % length == 0 || segment[i] != segment[i - 1]) starts.push_back(static_cast<int32_t>(i));
  }
  const int64_t room = std::max(usual_documents(rows), power_of_two(static_cast<int64_t>(starts.size()))) + 1;
  auto list = at::full({room}, rows * length, at::kInt);
  std::copy(starts.begin(), starts.end(), list.data_ptr<int32_t>());
  return list;
}

at::Tensor with_room(const at::Tensor& starts, int64_t room) {
  if (starts.size(0) == room) return starts;
  const int64_t end = starts.const_data_ptr<int32_t>()[starts.size(0) - 1];
  auto list = at::full({room}, end, at::kInt);
  list.narrow(0, 0, starts.size(0)).copy_(starts);
  return list;
}

}  // namespace lacuna
