#include "trainer/model/stream_layout.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>

#include <utility>

#include "trainer/kernels/dropout.h"
#include "trainer/parallel/collectives.h"

namespace lacuna {

at::Tensor StreamLayout::enter(const at::Tensor& x) const {
  return split ? gather_to_axis(x, *axis).view({rows, length, x.size(-1)}) : copy_to_axis(x, *axis);
}

at::Tensor StreamLayout::leave(const at::Tensor& part) const {
  return split ? scatter_from_axis(part.flatten(0, 1), *axis) : reduce_from_axis(part, *axis);
}

at::Tensor StreamLayout::whole(const at::Tensor& x) const {
  return split ? gather_from_axis(x, *axis, 0).view({rows, length, x.size(-1)}) : x;
}

at::Tensor StreamLayout::share(const at::Tensor& positions) const {
  return split ? positions.expand({rows, length}).flatten().narrow(0, axis->rank() * num_mine(), num_mine()) : positions;
}

at::Tensor StreamLayout::drop(const at::Tensor& x, double rate, const Random& site, const at::Tensor& stream_positions) const {
  if (!split || rate == 0) return dropout(x, rate, site, stream_positions);
  // A share may begin and end inside of a row: the mask is drawn for the rows that it touches.
  const int64_t begin = axis->rank() * num_mine(), first = begin / length, last = (begin + num_mine() - 1) / length;
  const auto ones = at::ones({last - first + 1, length, x.size(-1)}, x.options().requires_grad(false));
  const auto mask = dropout(ones, rate, site, stream_positions.narrow(0, first, last - first + 1));
  return x * mask.flatten(0, 1).narrow(0, begin - first * length, num_mine());
}

at::Tensor StreamLayout::gathered(const at::Tensor& x) const {
  if (!split) return x;
  auto all = at::empty({rows, length, x.size(-1)}, x.options());
  axis->all_gather(all, x);
  return all;
}

StreamLayout::Gathering StreamLayout::start_gathering(const at::Tensor& x) const {
  Gathering gathering;
  gathering.all_ = at::empty({rows, length, x.size(-1)}, x.options());
  gathering.work_ = axis->start_all_gather(gathering.all_, x);
  return gathering;
}

at::Tensor StreamLayout::Gathering::take() {
  work_->wait();
  work_.reset();
  return std::move(all_);
}

at::Tensor StreamLayout::summed(at::Tensor part) const {
  if (axis->size() == 1) return part;
  if (!split) {
    axis->all_reduce(part, Reduce::sum);
    return part;
  }
  auto share = at::empty({num_mine(), part.size(-1)}, part.options());
  axis->reduce_scatter(share, part);
  return share;
}

}  // namespace lacuna
