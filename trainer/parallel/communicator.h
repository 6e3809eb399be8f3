// One axis of the mesh: the ranks that share it and the collectives among them. Every rank of the axis calls the same
// collectives in the same order. Tensors are contiguous. Failures throw Error(communication).
//
// Host tensors: a collective has happened when its call, or its Work::wait(), returns. Device tensors: both only order the
// current stream, which sees the result from there on, and the host runs ahead.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>
#include <string>

namespace lacuna {

enum class Reduce { sum, max, min };

// A collective under way, whose tensors stay untouched until it is done. Destroying it waits.
class Work {
 public:
  virtual ~Work() = default;
  virtual bool test() = 0;  // true once done; also moves it forward
  virtual void wait() = 0;
};

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  const std::string& name() const { return name_; }  // "world", "data", "tensor": what the watchdog prints

  virtual void all_reduce(at::Tensor& values, Reduce reduce) = 0;  // in place
  // output: size() inputs in rank order. `input` may be this rank's part of `output`, then on every rank.
  virtual void all_gather(at::Tensor& output, const at::Tensor& input) = 0;
  // Sum; output: this rank's 1/size(). It may be this rank's part of `input`, then on every rank; the other parts are then lost.
  virtual void reduce_scatter(at::Tensor& output, const at::Tensor& input) = 0;
  virtual std::unique_ptr<Work> start_all_reduce(at::Tensor& values, Reduce reduce) = 0;
  virtual std::unique_ptr<Work> start_all_gather(at::Tensor& output, const at::Tensor& input) = 0;
  virtual std::unique_ptr<Work> start_reduce_scatter(at::Tensor& output, const at::Tensor& input) = 0;
  virtual void broadcast(at::Tensor& values, int root) = 0;
  virtual void barrier() = 0;  // of the hosts; what their devices still do is not waited for

  // What has gone wrong behind this axis since its last call, such as a lost rank; nullopt while all is well. From any thread.
  virtual std::optional<std::string> failure() { return std::nullopt; }
  // After a failure: ends what is under way on the device, so that nothing waits for it for ever. No collective may follow.
  virtual void abort() noexcept {}

 protected:
  explicit Communicator(std::string name) : name_(std::move(name)) {}

 private:
  std::string name_;
};

}  // namespace lacuna
