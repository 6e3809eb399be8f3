#include "trainer/kernels/graph.h"

#ifdef LACUNA_CUDA
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#endif

namespace lacuna {

#ifdef LACUNA_CUDA
namespace {
constexpr int kRunsBeforeRecording = 2;
}

class Graph::State {
 public:
  explicit State(State* beside) : pool_(beside != nullptr ? beside->pool_ : at::cuda::graph_pool_handle()) {}
  ~State() {
    if (recorded_) c10::cuda::device_synchronize();  // a replay may still run
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  void run(const std::function<void()>& body) {
    if (!recorded_ && runs_++ < kRunsBeforeRecording) return body();
    if (!recorded_) record(body);
    graph_.replay();
  }

 private:
  void record(const std::function<void()>& body) {
    // What the plain runs took goes back to the device first: the graph takes the same again, for itself.
    c10::cuda::device_synchronize();
    c10::cuda::CUDACachingAllocator::emptyCache();
    // Other threads prepare batches meanwhile; their calls are none of the recording's.
    graph_.capture_begin(pool_, cudaStreamCaptureModeThreadLocal);
    body();
    graph_.capture_end();
    recorded_ = true;
  }

  at::cuda::MempoolId_t pool_;
  at::cuda::CUDAGraph graph_;
  bool recorded_ = false;
  int runs_ = 0;
};

Graph::Graph(bool record, Graph* beside)
    : state_(record ? std::make_unique<State>(beside != nullptr ? beside->state_.get() : nullptr) : nullptr) {}
#else
class Graph::State {
 public:
  void run(const std::function<void()>& body) { body(); }
};

Graph::Graph(bool, Graph*) {}
#endif

Graph::~Graph() = default;
Graph::Graph(Graph&&) noexcept = default;
Graph& Graph::operator=(Graph&&) noexcept = default;

void Graph::run(const std::function<void()>& body) { state_ ? state_->run(body) : body(); }

}  // namespace lacuna
