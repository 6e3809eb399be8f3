// The whole classifier in one read and one write of the logits. A row waits in shared memory between the two passes over it:
// 50,304 bf16 columns are 100 KB, so two blocks share a multiprocessor, and one loads and stores while the other computes. A
// longer row (151,936 columns: 304 KB) is split over a cluster of 2, 4 or 8 blocks that exchange three numbers through
// distributed shared memory; a second read through the cache would cost half as much traffic again. The exponentials of both
// passes (2 x 50,304 / 16 cycles) take about 60 % of the time that the memory needs for the row.
#include "trainer/kernels/cuda_check.h"
#include "trainer/kernels/softmax_row.cuh"

namespace lacuna::cuda {
namespace {

// The bulk copy comes in pieces of 16 KB with a barrier each, so that the first pass runs along with it.
constexpr int kPieceVectors = 1024, kMaxPieces = 7;
constexpr int kMaxVectors = kPieceVectors * kMaxPieces;  // 112 KB of one block: two blocks on a multiprocessor
constexpr int kMaxCluster = 8;

__device__ uint32_t shared_address(const void* p) { return static_cast<uint32_t>(__cvta_generic_to_shared(p)); }

__device__ void barrier_init(uint64_t* barrier) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(shared_address(barrier)) : "memory");
}

__device__ void load_bulk(void* to, const void* from, uint32_t bytes, uint64_t* barrier) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes) : "memory");
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(shared_address(to)),
      "l"(__cvta_generic_to_global(from)), "r"(bytes), "r"(shared_address(barrier))
      : "memory");
}

// Each barrier is used once: its first phase ends when the bytes are there.
__device__ void wait_for(uint64_t* barrier) {
  uint32_t done = 0;
  while (done == 0) {
    asm volatile(
        "{\n.reg .pred p;\n"
        "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], 0;\n"
        "selp.u32 %0, 1, 0, p;\n}"
        : "=r"(done)
        : "r"(shared_address(barrier))
        : "memory");
  }
}

__device__ uint32_t cluster_rank() {
  uint32_t rank;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}
__device__ void cluster_arrive() { asm volatile("barrier.cluster.arrive.release;" ::: "memory"); }
__device__ void cluster_wait() { asm volatile("barrier.cluster.wait.acquire;" ::: "memory"); }

__device__ float load_remote(const float* own, uint32_t rank) {
  uint32_t address;
  float x;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(address) : "r"(shared_address(own)), "r"(rank));
  asm volatile("ld.shared::cluster.f32 %0, [%1];" : "=f"(x) : "r"(address) : "memory");
  return x;
}

// The sums of the row from those of the cluster's blocks, in every thread. cluster_wait() must follow before the kernel ends:
// until then another block may still read this one's.
template <bool kSmoothing>
__device__ RowSums combine_in_cluster(const RowSums& own, uint32_t num_blocks) {
  __shared__ RowSums block;
  if (threadIdx.x == 0) block = own;
  cluster_arrive();
  cluster_wait();
  RowSums other{-kInfinity, 0, 0};
  const uint32_t lane = threadIdx.x % 32;
  if (lane < num_blocks) {
    other = {load_remote(&block.maximum, lane), load_remote(&block.sum, lane), load_remote(&block.total, lane)};
  }
  const RowSums row = combine_in_warp<kSmoothing>(other);
  cluster_arrive();
  return row;
}

// One cluster a row, the blocks of it taking `share` vectors each.
template <class T, bool kSmoothing>
__global__ void __launch_bounds__(kMaxThreads, 2) resident_kernel(const LogitRows rows, const float* weights, float* loss_rows,
                                                                  const SoftmaxOptions options, int share, uint32_t num_blocks) {
  constexpr int kWidth = Vector<T>::kWidth;
  extern __shared__ __align__(128) uint4 held[];
  __shared__ uint64_t arrived[kMaxPieces];

  const uint32_t rank = num_blocks > 1 ? cluster_rank() : 0;
  const int64_t row = rows.num_rows - 1 - blockIdx.x / num_blocks;
  const int64_t begin = int64_t{rank} * share, all = rows.columns / kWidth;
  const int n = static_cast<int>(all - begin < share ? all - begin : share);
  T* const logits = static_cast<T*>(rows.logits) + row * rows.stride;
  uint4* const vectors = reinterpret_cast<uint4*>(logits) + begin;
  const int tid = static_cast<int>(threadIdx.x), num_threads = static_cast<int>(blockDim.x);
  const float weight = weights[row];

  if (weight == 0) {  // the whole cluster comes here
    for (int v = tid; v < n; v += num_threads) vectors[v] = make_uint4(0, 0, 0, 0);
    if (rank == 0 && tid == 0) loss_rows[row] = 0;
    return;
  }

  const int num_pieces = (n + kPieceVectors - 1) / kPieceVectors;
  const int64_t target = int64_t{rows.targets[row]} - rows.first;
  float target_logit = 0;
  if (tid == 0) {
    for (int i = 0; i < num_pieces; ++i) barrier_init(arrived + i);
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    for (int i = 0; i < num_pieces; ++i) {
      const int from = i * kPieceVectors, count = n - from < kPieceVectors ? n - from : kPieceVectors;
      load_bulk(held + from, vectors + from, static_cast<uint32_t>(count) * 16, arrived + i);
    }
    // Read before any block overwrites it: the barriers of the reduction lie between.
    if (rank == 0 && target >= 0 && target < rows.real) target_logit = Vector<T>::widen(*(volatile const T*)(logits + target));
  }
  __syncthreads();

  RowSums sums{-kInfinity, 0, 0};
  for (int i = 0; i < num_pieces; ++i) {
    const int from = i * kPieceVectors, end = n - from < kPieceVectors ? n : from + kPieceVectors;
    wait_for(arrived + i);
    for (int v = from + tid; v < end; v += num_threads) {
      const int64_t column = (begin + v) * kWidth;
      if (column < rows.real) add_vector<T, kSmoothing>(sums, held[v], column, rows.real);
    }
  }
  sums = combine_in_block<kSmoothing>(sums);
  if (num_blocks > 1) sums = combine_in_cluster<kSmoothing>(sums, num_blocks);

  if (rank == 0 && tid == 0) loss_rows[row] = weight * loss_of(sums, target_logit, rows.real, options);
  const Slope slope(sums, weight, target, rows.real, options);
  for (int v = tid; v < n; v += num_threads) vectors[v] = slope.of<T, kSmoothing>(held[v], (begin + v) * kWidth);
  if (num_blocks > 1) cluster_wait();
}

template <class T, bool kSmoothing>
void launch(const LogitRows& rows, const float* weights, float* loss_rows, const SoftmaxOptions& options, int share,
            int num_blocks, cudaStream_t stream) {
  const auto kernel = resident_kernel<T, kSmoothing>;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kMaxVectors * 16),
        "softmax_loss's shared memory");
  cudaLaunchAttribute cluster{};
  cluster.id = cudaLaunchAttributeClusterDimension;
  cluster.val.clusterDim.x = num_blocks;
  cluster.val.clusterDim.y = cluster.val.clusterDim.z = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(rows.num_rows * num_blocks));
  config.blockDim = dim3(threads_for(share));
  config.dynamicSmemBytes = static_cast<size_t>(share) * 16;
  config.stream = stream;
  config.attrs = &cluster;
  config.numAttrs = num_blocks > 1 ? 1 : 0;
  check(cudaLaunchKernelEx(&config, kernel, rows, weights, loss_rows, options, share, static_cast<uint32_t>(num_blocks)),
        "the launch of softmax_loss");
}

}  // namespace

bool launch_resident(const LogitRows& rows, const float* weights, float* loss_rows, const SoftmaxOptions& options,
                     cudaStream_t stream) {
  const int64_t row_bytes = rows.columns * size_of(rows.element), stride_bytes = rows.stride * size_of(rows.element);
  if (row_bytes % 16 != 0 || stride_bytes % 16 != 0 || reinterpret_cast<uintptr_t>(rows.logits) % 16 != 0) return false;
  const int64_t num_vectors = row_bytes / 16;
  int num_blocks = 1;
  while (num_blocks <= kMaxCluster && (num_vectors + num_blocks - 1) / num_blocks > kMaxVectors) num_blocks *= 2;
  if (num_blocks > kMaxCluster) return false;
  const int share = static_cast<int>((num_vectors + num_blocks - 1) / num_blocks);
  const bool smoothing = options.smoothing != 0;
  const auto go = [&](auto launcher) { launcher(rows, weights, loss_rows, options, share, num_blocks, stream); };
  if (rows.element == Element::bf16) {
    smoothing ? go(launch<__nv_bfloat16, true>) : go(launch<__nv_bfloat16, false>);
  } else {
    smoothing ? go(launch<float, true>) : go(launch<float, false>);
  }
  return true;
}

}  // namespace lacuna::cuda
