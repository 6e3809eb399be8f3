#include "trainer/parallel/gradient_buckets.h"

#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/functions/accumulate_grad.h>
#include <torch/csrc/autograd/variable.h>

#include <functional>

#include "data/error.h"

namespace lacuna {
namespace {

using torch::autograd::Node;
using torch::autograd::variable_list;

// Runs after the node that adds a gradient to its parameter, also when that gradient is undefined because a fused node has
// already added it to the flat buffer.
class AfterAccumulation : public torch::autograd::FunctionPostHook {
 public:
  explicit AfterAccumulation(std::function<void()> call) : call_(std::move(call)) {}
  variable_list operator()(const variable_list& outputs, const variable_list&) override {
    call_();
    return outputs;
  }

 private:
  std::function<void()> call_;
};

}  // namespace

class GradientBuckets::State {
 public:
  State(const std::vector<BucketParameter>& parameters, at::Tensor gradients, Communicator& axis, ShardLayout layout)
      : gradients_(std::move(gradients)),
        axis_(axis),
        mode_(layout.num_ranks() > 1 ? ReduceMode::reduce_scatter : ReduceMode::all_reduce),
        layout_(std::move(layout)) {
    if (layout_.size() != gradients_.numel() || (layout_.num_ranks() > 1 && layout_.num_ranks() != axis.size())) {
      throw Error(ExitCode::internal, "GradientBuckets: the layout is not that of the gradients over the axis");
    }
    fill(parameters);
    ready_.resize(parameters.size());
    if (axis.size() == 1) return;
    for (size_t i = 0; i < parameters.size(); ++i) {
      if (!parameters[i].variable.requires_grad()) continue;
      auto node = torch::autograd::impl::grad_accumulator(parameters[i].variable);
      const uintptr_t hook = node->add_post_hook(std::make_unique<AfterAccumulation>([this, i] { mark_ready(i); }));
      hooks_.push_back({std::move(node), hook});  // a node that nobody holds is made anew, without the hook
    }
  }

  ~State() {
    for (const auto& [node, hook] : hooks_) node->del_post_hook(hook);
  }

  static ShardLayout cut(const std::vector<BucketParameter>& parameters, const at::Tensor& gradients, double megabytes, int ranks) {
    std::vector<int64_t> starts;
    int64_t previous_end = 0;
    for (const BucketParameter& parameter : parameters) {
      if (parameter.offset < previous_end || parameter.offset + parameter.count > gradients.numel()) {
        throw Error(ExitCode::internal, "GradientBuckets: the parameters must ascend, apart, inside the flat gradients");
      }
      previous_end = parameter.offset + parameter.count;
      starts.push_back(parameter.offset);
    }
    const auto most = static_cast<int64_t>(megabytes * 1e6 / static_cast<double>(gradients.element_size()));
    return {starts, gradients.numel(), most, ranks, ranks == 1 ? 1 : kShardAlignment};
  }

  void arm() {
    if (axis_.size() == 1) return;
    std::fill(ready_.begin(), ready_.end(), false);
    for (Bucket& bucket : buckets_) bucket.missing = bucket.num_parameters;
    armed_ = true;
  }

  void finish() {
    if (axis_.size() == 1) return;
    armed_ = false;
    num_overlapped_ = num_started_;
    while (num_started_ < buckets_.size()) start_next();
    for (Bucket& bucket : buckets_) bucket.work->wait();
    for (Bucket& bucket : buckets_) bucket.work.reset();
    num_started_ = num_done_ = 0;
  }

  const ShardLayout& layout() const { return layout_; }
  size_t num_overlapped() const { return num_overlapped_; }

 private:
  struct Bucket {
    at::Tensor values;           // a view of the flat gradients
    at::Tensor shard;            // this rank's of them
    int64_t num_parameters = 0;  // that take a gradient
    int64_t missing = 0;
    std::unique_ptr<Work> work;
  };
  struct Hook {
    std::shared_ptr<Node> node;
    uintptr_t key;
  };

  // Together the buckets cover the buffer with its gaps.
  void fill(const std::vector<BucketParameter>& parameters) {
    buckets_of_.resize(parameters.size());
    for (size_t b = 0; b < layout_.buckets().size(); ++b) {
      const auto [begin, end] = layout_.buckets()[b];
      const auto shard = layout_.shard(b, mode_ == ReduceMode::reduce_scatter ? axis_.rank() : 0);
      int64_t num_parameters = 0;
      for (size_t i = 0; i < parameters.size(); ++i) {
        if (parameters[i].offset >= end || parameters[i].offset + parameters[i].count <= begin) continue;
        if (!parameters[i].variable.requires_grad()) continue;  // never missing
        buckets_of_[i].push_back(b);
        ++num_parameters;
      }
      buckets_.push_back({gradients_.narrow(0, begin, end - begin), gradients_.narrow(0, shard.begin, shard.count()),
                          num_parameters, 0, nullptr});
    }
  }

  void mark_ready(size_t parameter) {
    if (!armed_) return;
    if (ready_[parameter]) {
      throw Error(ExitCode::internal,
                  "a second backward ran after GradientBuckets::arm(): its gradients may already be on their "
                  "way. Call arm() before the step's last backward only.");
    }
    ready_[parameter] = true;
    for (const size_t bucket : buckets_of_[parameter]) --buckets_[bucket].missing;
    while (num_started_ < buckets_.size() && buckets_[num_started_].missing == 0) start_next();
    if (gradients_.is_cuda()) return;  // moves by itself
    while (num_done_ < num_started_ && buckets_[num_done_].work->test()) ++num_done_;
  }

  void start_next() {
    Bucket& bucket = buckets_[num_started_];
    bucket.work = mode_ == ReduceMode::all_reduce ? axis_.start_all_reduce(bucket.values, Reduce::sum)
                                                  : axis_.start_reduce_scatter(bucket.shard, bucket.values);
    ++num_started_;
  }

  at::Tensor gradients_;
  Communicator& axis_;
  const ReduceMode mode_;
  const ShardLayout layout_;
  std::vector<Bucket> buckets_;                  // in the order in which they start
  std::vector<std::vector<size_t>> buckets_of_;  // by parameter
  std::vector<bool> ready_;                      // by parameter
  std::vector<Hook> hooks_;
  bool armed_ = false;
  size_t num_started_ = 0, num_done_ = 0, num_overlapped_ = 0;
};

GradientBuckets::GradientBuckets(const std::vector<BucketParameter>& parameters, at::Tensor gradients, Communicator& axis,
                                 double megabytes, ReduceMode mode)
    : GradientBuckets(parameters, gradients, axis,
                      State::cut(parameters, gradients, megabytes, mode == ReduceMode::reduce_scatter ? axis.size() : 1)) {}
GradientBuckets::GradientBuckets(const std::vector<BucketParameter>& parameters, at::Tensor gradients, Communicator& axis,
                                 ShardLayout layout)
    : state_(std::make_unique<State>(parameters, std::move(gradients), axis, std::move(layout))) {}
GradientBuckets::~GradientBuckets() = default;
void GradientBuckets::arm() { state_->arm(); }
void GradientBuckets::finish() { state_->finish(); }
const ShardLayout& GradientBuckets::layout() const { return state_->layout(); }
int64_t GradientBuckets::num_buckets() const { return static_cast<int64_t>(layout().buckets().size()); }
int64_t GradientBuckets::num_overlapped() const { return static_cast<int64_t>(state_->num_overlapped()); }

}  // namespace lacuna
