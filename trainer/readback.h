// Values of past steps on their way from the device to the host, which reads them a few steps late and so never makes a step wait.
#pragma once
#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>

#include <deque>
#include <optional>
#include <vector>

namespace lacuna {

class Readback {
 public:
  // Queues a copy of `values`, contiguous float64, behind the work of the current stream; they may change afterwards.
  void send(const at::Tensor& values);
  // The oldest values that were sent; waits until they have come.
  std::vector<double> take();
  size_t waiting() const { return sent_.size(); }

 private:
  struct Sent {
    at::Tensor host;
    std::optional<c10::Event> arrived;  // none where the values were on the host all along
  };
  std::deque<Sent> sent_;
};

}  // namespace lacuna
