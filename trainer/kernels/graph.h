// Work that is the same at every call, recorded once as a CUDA graph and replayed from then on: one launch in place of hundreds.
#pragma once
#include <functional>
#include <memory>

namespace lacuna {

// Recordings that are made in the same round of calls and share their memory: none keeps anything for another in what it allocates
// itself. In the first rounds everything runs as it is, so that libraries make their handles and choose their algorithms; then what
// that took goes back to the device, and the recordings take the same again. Were one still to run plainly beside a recording, a
// step would hold its activations twice.
class GraphPool {
 public:
  // Without `record`, or in a build without CUDA, nothing is ever recorded.
  explicit GraphPool(bool record);
  void begin_round();

 private:
  friend class Graph;
  class State;
  std::shared_ptr<State> state_;  // null: never records
};

// What `body` reads and writes outside of itself must lie at the same addresses at every call; numbers of the host that it uses
// are those of the recording.
class Graph {
 public:
  explicit Graph(const GraphPool& pool);
  ~Graph();
  Graph(Graph&&) noexcept;
  Graph& operator=(Graph&&) noexcept;
  void run(const std::function<void()>& body);

 private:
  class State;
  std::unique_ptr<State> state_;  // null: never records
};

}  // namespace lacuna
