// One axis of the mesh: the ranks that share it and the collectives among them. Every rank of the axis calls the same
// collectives in the same order. Tensors are contiguous. Failures throw Error(communication).
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <string>

namespace lacuna {

enum class Reduce { sum, max, min };

// A collective under way. Destroying it waits.
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
  virtual std::unique_ptr<Work> start_all_reduce(at::Tensor& values,
                                                 Reduce reduce) = 0;             // in place; values stay untouched until done
  virtual void all_gather(at::Tensor& output, const at::Tensor& input) = 0;      // output: size() inputs in rank order
  virtual void reduce_scatter(at::Tensor& output, const at::Tensor& input) = 0;  // sum; output: this rank's 1/size()
  virtual void broadcast(at::Tensor& values, int root) = 0;
  virtual void barrier() = 0;

 protected:
  explicit Communicator(std::string name) : name_(std::move(name)) {}

 private:
  std::string name_;
};

}  // namespace lacuna
