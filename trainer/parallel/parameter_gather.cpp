#include "trainer/parallel/parameter_gather.h"

#include "data/error.h"

namespace lacuna {

ParameterGather::ParameterGather(const std::vector<BucketParameter>& parameters, at::Tensor values, ShardLayout layout,
                                 Communicator& axis)
    : values_(std::move(values)), layout_(std::move(layout)), axis_(axis) {
  if (layout_.size() != values_.numel() || layout_.num_ranks() != axis.size()) {
    throw Error(ExitCode::internal, "ParameterGather: the layout is not that of the parameters over the axis");
  }
  const auto& buckets = layout_.buckets();
  for (const auto& parameter : parameters) {
    size_t messages = 0;
    while (messages < buckets.size() && buckets[buckets.size() - 1 - messages].begin < parameter.offset + parameter.count)
      ++messages;
    needs_[parameter.variable.unsafeGetTensorImpl()] = messages;
  }
}

void ParameterGather::start() {
  finish();
  for (size_t bucket = layout_.buckets().size(); bucket-- > 0;) {
    const auto [begin, end] = layout_.buckets()[bucket];
    const auto shard = layout_.shard(bucket, axis_.rank());
    auto whole = values_.narrow(0, begin, end - begin);
    works_.push_back(axis_.start_all_gather(whole, values_.narrow(0, shard.begin, shard.count())));
  }
}

void ParameterGather::wait(const at::Tensor& parameter) {
  if (works_.empty()) return;
  const auto found = needs_.find(parameter.unsafeGetTensorImpl());
  if (found == needs_.end())
    throw Error(ExitCode::internal, "ParameterGather: a network waits for a parameter that it never declared");
  wait_until(found->second);
}

void ParameterGather::finish() {
  wait_until(works_.size());
  works_.clear();
  num_waited_ = 0;
}

void ParameterGather::wait_until(size_t messages) {
  for (; num_waited_ < messages; ++num_waited_) works_[num_waited_]->wait();
}

}  // namespace lacuna
