// Every collective on device tensors against the same thing computed on the host; its order among other work, also inside a CUDA
// graph; and host tensors on the same axis.
#include "trainer/parallel/communicator.h"

#include <ATen/cuda/CUDAGraph.h>
#include <ATen/cuda/Sleep.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAGuard.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>

#include "tests/gpu/distributed/device_axis.h"
#include "tests/support/expect_error.h"

namespace lacuna {
namespace {

using namespace testing;
using NcclAxis = DeviceAxis;

constexpr int64_t kSizes[] = {1, 3, 257, 100003};
constexpr int64_t kSecond = 2'000'000'000;  // of at::cuda::sleep, about; below 2^31, in case it reads a short clock

std::string words(at::ScalarType type, int64_t count) { return std::string(c10::toString(type)) + " x " + std::to_string(count); }

at::Tensor poisoned(at::IntArrayRef shape, at::ScalarType type = at::kFloat) {
  return at::full(shape, 77, at::TensorOptions(own_device()).dtype(type));
}

template <class Action>
std::string message_of(const Action& action) {
  return testing::error_message(ExitCode::communication, action);
}

TEST_F(NcclAxis, AllReduceSumsEveryType) {
  for (const auto type : {at::kFloat, at::kDouble, at::kBFloat16, at::kHalf, at::kInt, at::kLong, at::kByte}) {
    for (const int64_t count : kSizes) {
      at::Tensor values = on_device(values_of(axis().rank(), count, type));
      axis().all_reduce(values, Reduce::sum);
      expect_close(values, sum_of_all(axis().size(), count, type), "all_reduce of " + words(type, count));
    }
  }
}

TEST_F(NcclAxis, AllReduceMinAndMax) {
  for (const auto type : {at::kFloat, at::kBFloat16, at::kLong}) {
    at::Tensor low = on_device(values_of(axis().rank(), 257, type)), high = low.clone();
    axis().all_reduce(low, Reduce::min);
    axis().all_reduce(high, Reduce::max);
    expect_close(low, values_of(0, 257, type), "min of " + words(type, 257));
    expect_close(high, values_of(axis().size() - 1, 257, type), "max of " + words(type, 257));
  }
  at::Tensor any = on_device(at::full({3}, axis().rank() == 1, at::kBool)), all = any.clone();
  axis().all_reduce(any, Reduce::max);
  axis().all_reduce(all, Reduce::min);
  expect_close(any, at::ones({3}), "any of bool");
  expect_close(all, at::zeros({3}), "all of bool");
}

TEST_F(NcclAxis, AllGatherIsInRankOrderAndMovesAnyType) {
  const int size = axis().size(), rank = axis().rank();
  for (const auto type : {at::kFloat, at::kBFloat16, at::kShort, at::kBool}) {
    for (const int64_t count : {int64_t{1}, int64_t{257}, int64_t{10007}}) {
      const at::Tensor input = on_device(values_of(rank, count, type));
      at::Tensor output = poisoned({size, count}, type), started = poisoned({size, count}, type);
      at::Tensor in_place = poisoned({size, count}, type);
      axis().all_gather(output, input);
      axis().start_all_gather(started, input)->wait();
      in_place[rank].copy_(input);
      axis().all_gather(in_place, in_place[rank]);
      for (int other = 0; other < size; ++other) {
        const std::string what = "all_gather of rank " + std::to_string(other) + "'s " + words(type, count);
        const at::Tensor expected = values_of(other, count, type);
        expect_close(output[other], expected, what);
        expect_close(started[other], expected, "started " + what);
        expect_close(in_place[other], expected, "in place " + what);
      }
    }
  }
}

TEST_F(NcclAxis, ReduceScatterGivesEachRankItsPartOfTheSum) {
  const int size = axis().size(), rank = axis().rank();
  for (const auto type : {at::kFloat, at::kBFloat16, at::kInt}) {
    for (const int64_t count : {int64_t{1}, int64_t{257}, int64_t{10007}}) {
      at::Tensor input = on_device(values_of(rank, count * size, type)), in_place = input.clone();
      at::Tensor output = poisoned({count}, type), started = poisoned({count}, type);
      at::Tensor mine = in_place.narrow(0, rank * count, count);
      axis().reduce_scatter(output, input);
      axis().start_reduce_scatter(started, input)->wait();
      axis().start_reduce_scatter(mine, in_place)->wait();
      const at::Tensor expected = sum_of_all(size, count * size, type).narrow(0, rank * count, count);
      expect_close(output, expected, "reduce_scatter of " + words(type, count));
      expect_close(started, expected, "started reduce_scatter of " + words(type, count));
      expect_close(mine, expected, "in place reduce_scatter of " + words(type, count));
    }
  }
}

TEST_F(NcclAxis, BroadcastFromEveryRoot) {
  for (int root = 0; root < axis().size(); ++root) {
    at::Tensor values = on_device(values_of(axis().rank(), 33, at::kBFloat16));
    axis().broadcast(values, root);
    expect_close(values, values_of(root, 33, at::kBFloat16), "broadcast from " + std::to_string(root));
  }
  axis().barrier();
}

TEST_F(NcclAxis, EmptyTensorsPass) {
  at::Tensor none = poisoned({0}), gathered = poisoned({0});
  axis().all_reduce(none, Reduce::sum);
  axis().start_all_reduce(none, Reduce::sum)->wait();
  axis().all_gather(gathered, none);
  axis().reduce_scatter(none, gathered);
  axis().broadcast(none, 0);
  c10::cuda::device_synchronize();
}

TEST_F(NcclAxis, HostTensorsGoOverMpiBesideTheDevices) {
  at::Tensor host = values_of(axis().rank(), 101, at::kDouble), device = on_device(values_of(axis().rank(), 101));
  auto work = axis().start_all_reduce(device, Reduce::sum);
  axis().all_reduce(host, Reduce::sum);
  work->wait();
  at::Tensor gathered = at::empty({axis().size(), 5});
  axis().start_all_gather(gathered, values_of(axis().rank(), 5))->wait();
  expect_close(host, sum_of_all(axis().size(), 101), "host sum");
  expect_close(device, sum_of_all(axis().size(), 101), "device sum");
  expect_close(gathered[1], values_of(1, 5), "host gather");
}

TEST_F(NcclAxis, SeesTheWorkBeforeItAndIsSeenByTheWorkAfterIt) {
  const bool streams[] = {false, true};
  for (const bool own_stream : streams) {
    const c10::cuda::CUDAStreamGuard guard(own_stream ? c10::cuda::getStreamFromPool(false, own_device().index())
                                                      : c10::cuda::getDefaultCUDAStream(own_device().index()));
    at::Tensor values = poisoned({4099});
    at::cuda::sleep(kSecond / 50);
    values.fill_(axis().rank() + 1);
    axis().all_reduce(values, Reduce::sum);
    values.mul_(2);
    axis().all_reduce(values, Reduce::max);
    const at::Tensor twice = values * 2;
    const int size = axis().size();
    expect_close(twice, at::full({4099}, 2 * size * (size + 1)), own_stream ? "on a stream of its own" : "on the default stream");
  }
}

TEST_F(NcclAxis, AStartedCollectiveRunsBesideTheWorkAfterItAndTheHostRunsAhead) {
  at::Tensor values = on_device(values_of(axis().rank(), 1 << 20));
  c10::cuda::device_synchronize();
  axis().barrier();
  const auto begin = std::chrono::steady_clock::now();
  auto work = axis().start_all_reduce(values, Reduce::sum);
  for (int i = 0; i < 5; ++i) at::cuda::sleep(kSecond);  // work of the current stream that does not need the sum
  c10::cuda::CUDAEvent slept;
  slept.record();
  const std::chrono::duration<double> enqueued = std::chrono::steady_clock::now() - begin;
  while (!work->test() && !slept.query()) std::this_thread::yield();
  EXPECT_FALSE(slept.query()) << "the collective ended only after the work beside it";
  EXPECT_LT(enqueued.count(), 1.0) << "the host waited";
  work->wait();
  const at::Tensor doubled = values * 2;
  expect_close(doubled, sum_of_all(axis().size(), 1 << 20) * 2, "started all_reduce");
}

TEST_F(NcclAxis, AStartedCollectiveWaitsForTheWorkBeforeIt) {
  const at::Tensor source = on_device(values_of(axis().rank(), 257));
  at::Tensor values = poisoned({257}), dropped = poisoned({257});
  at::cuda::sleep(kSecond / 5);
  values.copy_(source);
  dropped.copy_(values);
  auto first = axis().start_all_reduce(values, Reduce::sum), second = axis().start_all_reduce(dropped, Reduce::sum);
  EXPECT_FALSE(first->test());
  EXPECT_NE(recorder->in_flight().size(), 0u);
  second.reset();  // waits
  first->wait();
  first->wait();
  expect_close(values, sum_of_all(axis().size(), 257), "waited");
  expect_close(dropped, sum_of_all(axis().size(), 257), "dropped");
}

TEST_F(NcclAxis, TheRecorderLearnsWhatTheDeviceHasDone) {
  at::Tensor values = poisoned({1024});
  axis().all_reduce(values, Reduce::sum);
  c10::cuda::device_synchronize();
  EXPECT_FALSE(mesh->failure());
  EXPECT_EQ(recorder->in_flight().size(), 0u) << recorder->report();
  const auto last = recorder->last(1).front();
  EXPECT_EQ(std::string(last.collective), "all_reduce");
  EXPECT_EQ(last.axis, "data");
  EXPECT_EQ(last.bytes, 4096);
}

TEST_F(NcclAxis, ACudaGraphReplaysCollectives) {
  const int size = axis().size(), rank = axis().rank();
  const int64_t part = 129, count = part * size;
  at::Tensor input = poisoned({count}), summed = poisoned({count}), scattered = poisoned({part}), gathered = poisoned({count});
  at::Tensor beside = at::ones({64, 64}, at::TensorOptions(own_device())), product = at::zeros_like(beside);
  std::atomic<bool> stop = false;
  std::thread poller([&] {  // as the watchdog does, during the capture too
    while (!stop) {
      EXPECT_FALSE(mesh->failure());
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  {
    const c10::cuda::CUDAStreamGuard guard(c10::cuda::getStreamFromPool(false, own_device().index()));
    const auto step = [&] {
      summed.copy_(input);
      axis().all_reduce(summed, Reduce::sum);
      summed.mul_(2);
      auto work = axis().start_reduce_scatter(scattered, summed);
      (void)work->test();
      at::mm_out(product, beside, beside);
      work->wait();
      scattered.add_(1);
      axis().start_all_gather(gathered, scattered);
      gathered.sub_(1);
    };
    step();  // eager first, so that cuBLAS has its workspace
    c10::cuda::device_synchronize();
    at::cuda::CUDAGraph graph;
    graph.capture_begin();
    step();
    graph.capture_end();
    for (int replay = 0; replay < 3; ++replay) {
      input.copy_(values_of(rank, count) + replay);
      gathered.fill_(77);
      product.fill_(77);
      graph.replay();
      at::Tensor between = on_device(values_of(rank, 31));
      axis().all_reduce(between, Reduce::sum);  // an eager one between replays keeps its place
      const at::Tensor expected = (sum_of_all(size, count) + replay * size) * 2 * size;
      expect_close(gathered, expected, "replay " + std::to_string(replay));
      expect_close(product, at::full({64, 64}, 64), "the work beside, replay " + std::to_string(replay));
      expect_close(between, sum_of_all(size, 31), "between replays");
    }
    c10::cuda::device_synchronize();
  }
  stop = true;
  poller.join();
}

TEST_F(NcclAxis, RefusesWhatItCannotReduce) {
  at::Tensor flags = poisoned({4}, at::kBool), crossed = poisoned({4, 4}).t(), output = poisoned({4}), host = at::zeros({4});
  at::Tensor small = poisoned({4}, at::kShort);
  EXPECT_NE(message_of([&] { axis().start_all_reduce(flags, Reduce::sum); }).find("use Reduce::max for any"), std::string::npos);
  EXPECT_NE(message_of([&] { axis().all_reduce(small, Reduce::sum); }).find("convert it to float32 first"), std::string::npos);
  EXPECT_NE(message_of([&] { axis().broadcast(crossed, 0); }).find("pass values.contiguous()"), std::string::npos);
  EXPECT_NE(message_of([&] { axis().all_gather(output, host); }).find("on the same device"), std::string::npos);
  EXPECT_NE(message_of([&] { axis().all_gather(output, output); }).find("inputs of the same type"), std::string::npos);
  EXPECT_NE(message_of([&] { axis().broadcast(output, axis().size()); }).find("there is no rank"), std::string::npos);
}

TEST(DeviceMesh, EveryAxisSumsOverItsOwnRanks) {
  const auto mesh = make_device_mesh(2, own_device());
  const int rank = mesh->world().rank(), size = mesh->world().size();
  EXPECT_EQ(mesh->tensor().size(), 2);
  EXPECT_EQ(mesh->data().size(), size / 2);
  at::Tensor world = at::full({3}, rank, at::TensorOptions(own_device()));
  at::Tensor data = world.clone(), tensor = world.clone();
  {
    const c10::cuda::CUDAStreamGuard guard(c10::cuda::getStreamFromPool(false, own_device().index()));
    at::cuda::CUDAGraph graph;
    graph.capture_begin();
    EXPECT_NE(message_of([&] { mesh->world().all_reduce(world, Reduce::sum); }).find("may not be captured"), std::string::npos);
    world.add_(0);
    graph.capture_end();
  }
  c10::cuda::device_synchronize();
  mesh->tensor().all_reduce(tensor, Reduce::sum);
  mesh->data().all_reduce(data, Reduce::sum);
  mesh->world().all_reduce(world, Reduce::sum);  // connects
  int of_data = 0;
  for (int other = rank % 2; other < size; other += 2) of_data += other;
  expect_close(tensor, at::full({3}, rank % 2 == 0 ? 2 * rank + 1 : 2 * rank - 1), "tensor axis");
  expect_close(data, at::full({3}, of_data), "data axis");
  expect_close(world, at::full({3}, size * (size - 1) / 2), "world");
}

}  // namespace
}  // namespace lacuna
