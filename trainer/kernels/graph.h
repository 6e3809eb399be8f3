// Work that is the same at every call, recorded once as a CUDA graph and replayed from then on: one launch in place of hundreds.
#pragma once
#include <functional>
#include <memory>

namespace lacuna {

// What `body` reads and writes outside of itself must lie at the same addresses at every call; numbers of the host that it uses
// are those of the recording. The first calls run it as it is, so that libraries make their handles and choose their algorithms.
class Graph {
 public:
  // Without `record`, or in a build without CUDA, each call runs the body. With `beside` the two recordings share their memory:
  // neither keeps anything for the other in what it allocates itself.
  explicit Graph(bool record, Graph* beside = nullptr);
  ~Graph();
  Graph(Graph&&) noexcept;
  Graph& operator=(Graph&&) noexcept;
  void run(const std::function<void()>& body);

 private:
  class State;
  std::unique_ptr<State> state_;  // null: never records
};

}  // namespace lacuna
