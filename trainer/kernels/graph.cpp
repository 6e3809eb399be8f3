#include "trainer/kernels/graph.h"

#ifdef LACUNA_CUDA
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#endif

namespace lacuna {

#ifdef LACUNA_CUDA
namespace {
constexpr int kPlainRounds = 2;
}

class GraphPool::State {
 public:
  void begin_round() { ++rounds_; }
  bool records() const { return rounds_ > kPlainRounds; }
  at::cuda::MempoolId_t memory() const { return memory_; }

 private:
  at::cuda::MempoolId_t memory_ = at::cuda::graph_pool_handle();
  int rounds_ = 0;
};

class Graph::State {
 public:
  explicit State(std::shared_ptr<GraphPool::State> pool) : pool_(std::move(pool)) {}
  ~State() {
    if (recorded_) c10::cuda::device_synchronize();  // a replay may still run
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  void run(const std::function<void()>& body) {
    if (!recorded_ && !pool_->records()) return body();
    if (!recorded_) record(body);
    graph_.replay();
  }

 private:
  void record(const std::function<void()>& body) {
    c10::cuda::device_synchronize();
    c10::cuda::CUDACachingAllocator::emptyCache();
    // Other threads prepare batches meanwhile; their calls are none of the recording's.
    graph_.capture_begin(pool_->memory(), cudaStreamCaptureModeThreadLocal);
    body();
    graph_.capture_end();
    recorded_ = true;
  }

  std::shared_ptr<GraphPool::State> pool_;
  at::cuda::CUDAGraph graph_;
  bool recorded_ = false;
};

GraphPool::GraphPool(bool record) : state_(record ? std::make_shared<State>() : nullptr) {}
void GraphPool::begin_round() {
  if (state_) state_->begin_round();
}
Graph::Graph(const GraphPool& pool) : state_(pool.state_ ? std::make_unique<State>(pool.state_) : nullptr) {}
#else
class GraphPool::State {};
class Graph::State {
 public:
  void run(const std::function<void()>& body) { body(); }
};

GraphPool::GraphPool(bool) {}
void GraphPool::begin_round() {}
Graph::Graph(const GraphPool&) {}
#endif

Graph::~Graph() = default;
Graph::Graph(Graph&&) noexcept = default;
Graph& Graph::operator=(Graph&&) noexcept = default;

void Graph::run(const std::function<void()>& body) { state_ ? state_->run(body) : body(); }

}  // namespace lacuna
