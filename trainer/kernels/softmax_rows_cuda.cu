#include "trainer/kernels/cuda_check.h"
#include "trainer/kernels/softmax_row.cuh"

namespace lacuna::cuda {
namespace {

constexpr int kUnroll = 4;  // vectors in flight a thread

// A row in device memory as vectors of 16 bytes, whatever its alignment; columns beyond the row's are 0 and not written.
template <class T>
class Row {
 public:
  static constexpr int kWidth = Vector<T>::kWidth;
  __device__ Row(const LogitRows& rows, int64_t row)
      : begin_(static_cast<T*>(rows.logits) + row * rows.stride),
        columns_(rows.columns),
        aligned_(reinterpret_cast<uintptr_t>(begin_) % 16 == 0) {}

  __device__ uint4 load(int64_t vector) const {
    if (whole(vector)) return *reinterpret_cast<const uint4*>(begin_ + vector * kWidth);
    float x[kWidth];
#pragma unroll
    for (int i = 0; i < kWidth; ++i) x[i] = vector * kWidth + i < columns_ ? at(vector * kWidth + i) : 0;
    return Vector<T>::pack(x);
  }
  __device__ void store(int64_t vector, const uint4& raw) const {
    if (whole(vector)) {
      *reinterpret_cast<uint4*>(begin_ + vector * kWidth) = raw;
      return;
    }
    float x[kWidth];
    Vector<T>::unpack(raw, x);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      if (vector * kWidth + i < columns_) begin_[vector * kWidth + i] = static_cast<T>(x[i]);
    }
  }
  __device__ float at(int64_t column) const { return Vector<T>::widen(begin_[column]); }
  __device__ int64_t num_vectors() const { return (columns_ + kWidth - 1) / kWidth; }

 private:
  __device__ bool whole(int64_t vector) const { return aligned_ && (vector + 1) * kWidth <= columns_; }
  T* begin_;
  int64_t columns_;
  bool aligned_;
};

template <class T, bool kTotal>
__device__ RowSums sums_of(const Row<T>& row, int64_t real) {
  RowSums sums{-kInfinity, 0, 0};
  const int64_t n = (real + Row<T>::kWidth - 1) / Row<T>::kWidth, step = blockDim.x;
  int64_t v = threadIdx.x;
  for (; v + (kUnroll - 1) * step < n; v += kUnroll * step) {
    uint4 raw[kUnroll];
#pragma unroll
    for (int k = 0; k < kUnroll; ++k) raw[k] = row.load(v + k * step);
#pragma unroll
    for (int k = 0; k < kUnroll; ++k) add_vector<T, kTotal>(sums, raw[k], (v + k * step) * Row<T>::kWidth, real);
  }
  for (; v < n; v += step) add_vector<T, kTotal>(sums, row.load(v), v * Row<T>::kWidth, real);
  return combine_in_block<kTotal>(sums);
}

template <class T, bool kSmoothing>
__device__ void write_slope(const Row<T>& row, const Slope& slope) {
  for (int64_t v = threadIdx.x; v < row.num_vectors(); v += blockDim.x) {
    row.store(v, slope.of<T, kSmoothing>(row.load(v), v * Row<T>::kWidth));
  }
}

template <class T>
__device__ void write_zeros(const Row<T>& row) {
  for (int64_t v = threadIdx.x; v < row.num_vectors(); v += blockDim.x) row.store(v, make_uint4(0, 0, 0, 0));
}

template <class T>
__device__ float logit_of_target(const Row<T>& row, int64_t target, int64_t real) {
  return target >= 0 && target < real ? row.at(target) : 0;
}

template <class T, bool kSmoothing>
__global__ void __launch_bounds__(kMaxThreads, 2)
    streamed_loss_kernel(const LogitRows rows, const float* weights, float* loss_rows, bool gradient,
                         const SoftmaxOptions options) {
  const int64_t i = rows.num_rows - 1 - blockIdx.x;
  const Row<T> row(rows, i);
  const float weight = weights[i];
  if (weight == 0) {
    if (threadIdx.x == 0) loss_rows[i] = 0;
    if (gradient) write_zeros(row);
    return;
  }
  const int64_t target = int64_t{rows.targets[i]} - rows.first;
  const float target_logit = logit_of_target(row, target, rows.real);
  const RowSums sums = sums_of<T, kSmoothing>(row, rows.real);  // a barrier of the block lies inside
  if (threadIdx.x == 0) loss_rows[i] = weight * loss_of(sums, target_logit, rows.real, options);
  if (gradient) write_slope<T, kSmoothing>(row, Slope(sums, weight, target, rows.real, options));
}

template <class T>
__global__ void __launch_bounds__(kMaxThreads, 2) parts_kernel(float* parts, const LogitRows rows) {
  const int64_t i = rows.num_rows - 1 - blockIdx.x;
  const Row<T> row(rows, i);
  const RowSums sums = sums_of<T, false>(row, rows.real);
  if (threadIdx.x != 0) return;
  parts[i * 3] = sums.maximum;
  parts[i * 3 + 1] = sums.sum;
  parts[i * 3 + 2] = logit_of_target(row, int64_t{rows.targets[i]} - rows.first, rows.real);
}

template <class T>
__global__ void __launch_bounds__(kMaxThreads, 2)
    gradient_kernel(const LogitRows rows, const float* parts, const float* weights, const SoftmaxOptions options) {
  const int64_t i = rows.num_rows - 1 - blockIdx.x;
  const Row<T> row(rows, i);
  if (weights[i] == 0) return write_zeros(row);
  const RowSums sums{parts[i * 3], parts[i * 3 + 1], 0};
  write_slope<T, false>(row, Slope(sums, weights[i], int64_t{rows.targets[i]} - rows.first, rows.real, options));
}

__global__ void combine_kernel(float* joined, const float* parts, int64_t num_ranks, int64_t num_rows) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= num_rows) return;
  float maximum = -kInfinity, sum = 0, target = 0;
  for (int64_t r = 0; r < num_ranks; ++r) maximum = fmaxf(maximum, parts[(r * num_rows + i) * 3]);
  // Not unrolled: of four iterations at a time nvcc 13.0 reads the wrong elements (part[1] for part[0] in the second and third,
  // the next row for part[2] in the fourth), so that four ranks and more had a wrong loss.
#pragma unroll 1
  for (int64_t r = 0; r < num_ranks; ++r) {
    const float* part = parts + (r * num_rows + i) * 3;
    if (part[1] != 0) sum += part[1] * exponential(part[0], shift_of(maximum));  // 0: a rank that holds only padding
    target += part[2];
  }
  joined[i * 3] = maximum;
  joined[i * 3 + 1] = sum;
  joined[i * 3 + 2] = target;
}

__global__ void loss_rows_kernel(float* loss_rows, const float* parts, const float* weights, int64_t num_rows) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= num_rows) return;
  const RowSums sums{parts[i * 3], parts[i * 3 + 1], 0};
  loss_rows[i] = weights[i] == 0 ? 0 : weights[i] * loss_of(sums, parts[i * 3 + 2], 1, {});
}

__global__ void __launch_bounds__(1024) add_sum_kernel(double* total, const float* values, int64_t count) {
  __shared__ double warps[32];
  double sum = 0;
  for (int64_t i = threadIdx.x; i < count; i += blockDim.x) sum += values[i];
  for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_down_sync(~0u, sum, offset);
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x >= 32) return;
  sum = warps[threadIdx.x];
  for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_down_sync(~0u, sum, offset);
  if (threadIdx.x == 0) *total += sum;
}

unsigned blocks_of(int64_t n, int threads) { return static_cast<unsigned>((n + threads - 1) / threads); }

// Calls `launch` with a value of the element's type.
template <class Launch>
void by_element(const LogitRows& rows, const char* kernel, const Launch& launch) {
  const int threads = threads_for(rows.columns * size_of(rows.element) / 16);
  const auto num_rows = static_cast<unsigned>(rows.num_rows);
  if (rows.element == Element::bf16) {
    launch(__nv_bfloat16{}, num_rows, threads);
  } else {
    launch(float{}, num_rows, threads);
  }
  check_launch(kernel);
}

}  // namespace

void softmax_loss(const LogitRows& rows, const float* weights, float* loss_rows, bool gradient, const SoftmaxOptions& options,
                  cudaStream_t stream) {
  if (rows.num_rows == 0) return;
  if (gradient && launch_resident(rows, weights, loss_rows, options, stream)) return;
  by_element(rows, "softmax_loss", [&](auto type, unsigned blocks, int threads) {
    using T = decltype(type);
    if (options.smoothing != 0) {
      streamed_loss_kernel<T, true><<<blocks, threads, 0, stream>>>(rows, weights, loss_rows, gradient, options);
    } else {
      streamed_loss_kernel<T, false><<<blocks, threads, 0, stream>>>(rows, weights, loss_rows, gradient, options);
    }
  });
}

void softmax_parts(float* parts, const LogitRows& rows, cudaStream_t stream) {
  if (rows.num_rows == 0) return;
  by_element(rows, "softmax_parts", [&](auto type, unsigned blocks, int threads) {
    parts_kernel<decltype(type)><<<blocks, threads, 0, stream>>>(parts, rows);
  });
}

void combine_softmax_parts(float* joined, const float* parts, int64_t num_ranks, int64_t num_rows, cudaStream_t stream) {
  if (num_rows == 0) return;
  combine_kernel<<<blocks_of(num_rows, 128), 128, 0, stream>>>(joined, parts, num_ranks, num_rows);
  check_launch("combine_softmax_parts");
}

void softmax_loss_rows(float* loss_rows, const float* parts, const float* weights, int64_t num_rows, cudaStream_t stream) {
  if (num_rows == 0) return;
  loss_rows_kernel<<<blocks_of(num_rows, 128), 128, 0, stream>>>(loss_rows, parts, weights, num_rows);
  check_launch("softmax_loss_rows");
}

void softmax_gradient(const LogitRows& rows, const float* parts, const float* weights, float z_loss, cudaStream_t stream) {
  if (rows.num_rows == 0) return;
  by_element(rows, "softmax_gradient", [&](auto type, unsigned blocks, int threads) {
    gradient_kernel<decltype(type)><<<blocks, threads, 0, stream>>>(rows, parts, weights, SoftmaxOptions{z_loss, 0});
  });
}

void add_sum(double* total, const float* values, int64_t count, cudaStream_t stream) {
  add_sum_kernel<<<1, 1024, 0, stream>>>(total, values, count);
  check_launch("add_sum");
}

}  // namespace lacuna::cuda
