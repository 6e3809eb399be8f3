// Ranks as threads of one process, for tests of code that only needs a Communicator and small host tensors.
#pragma once
#include <barrier>
#include <cstring>
#include <exception>
#include <functional>
#include <thread>
#include <vector>

#include "data/error.h"
#include "trainer/parallel/communicator.h"

namespace lacuna::testing {

class ThreadWorld {
 public:
  explicit ThreadWorld(int size) : barrier_(size), values_(size), errors_(size) {}

  // Runs `work` as every rank and returns when all have ended; then rethrows what the lowest failing rank threw. All ranks must
  // call the same collectives, so they throw together or not at all.
  void run(const std::function<void(Communicator&)>& work) {
    std::vector<std::thread> threads;
    for (int rank = 0; rank < static_cast<int>(values_.size()); ++rank) {
      threads.emplace_back([&, rank] {
        Member member(*this, rank);
        try {
          work(member);
        } catch (...) {
          errors_[rank] = std::current_exception();
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (const std::exception_ptr& error : errors_) {
      if (error) std::rethrow_exception(error);
    }
  }

 private:
  class Member final : public Communicator {
   public:
    Member(ThreadWorld& world, int rank) : Communicator("world"), world_(world), rank_(rank) {}
    int rank() const override { return rank_; }
    int size() const override { return static_cast<int>(world_.values_.size()); }

    void all_reduce(at::Tensor& values, Reduce reduce) override {
      if (reduce != Reduce::sum || values.scalar_type() != at::kLong) throw not_built();
      const at::Tensor mine = values.clone();
      exchange(mine, [&] {
        std::memset(values.mutable_data_ptr(), 0, values.nbytes());
        for (const at::Tensor* other : world_.values_) values.add_(*other);
      });
    }
    void all_gather(at::Tensor& output, const at::Tensor& input) override {
      exchange(input, [&] {
        auto* target = static_cast<char*>(output.mutable_data_ptr());
        for (const at::Tensor* other : world_.values_) {
          std::memcpy(target, other->const_data_ptr(), other->nbytes());
          target += other->nbytes();
        }
      });
    }
    void broadcast(at::Tensor& values, int root) override {
      exchange(values, [&] {
        if (rank_ != root) std::memcpy(values.mutable_data_ptr(), world_.values_[root]->const_data_ptr(), values.nbytes());
      });
    }
    void barrier() override { world_.barrier_.arrive_and_wait(); }
    std::unique_ptr<Work> start_all_reduce(at::Tensor&, Reduce) override { throw not_built(); }
    std::unique_ptr<Work> start_all_gather(at::Tensor&, const at::Tensor&) override { throw not_built(); }
    std::unique_ptr<Work> start_reduce_scatter(at::Tensor&, const at::Tensor&) override { throw not_built(); }
    void reduce_scatter(at::Tensor&, const at::Tensor&) override { throw not_built(); }

   private:
    static Error not_built() { return {ExitCode::internal, "not built for threads"}; }
    // Shows `mine` to all ranks while `read` runs.
    void exchange(const at::Tensor& mine, const std::function<void()>& read) {
      world_.values_[rank_] = &mine;
      barrier();
      read();
      barrier();
    }
    ThreadWorld& world_;
    int rank_;
  };

  std::barrier<> barrier_;
  std::vector<const at::Tensor*> values_;
  std::vector<std::exception_ptr> errors_;
};

}  // namespace lacuna::testing
