// The backward sorts the ids, so that the rows of one id stand together, and cuts the sorted rows into pieces of kPiece. What an
// id has inside one piece goes straight into the table; an id that runs over a border leaves one partial row per piece, and those
// are joined afterwards. However frequent an id is, its rows are spread over many blocks.
#include <algorithm>
#include <bit>
#include <cub/device/device_radix_sort.cuh>

#include "trainer/kernels/chunk.cuh"
#include "trainer/kernels/cuda_check.h"
#include "trainer/kernels/embedding_cuda.h"

namespace lacuna::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kPiece = 32;
constexpr int kAhead = 4;  // rows in flight

__device__ __forceinline__ int64_t id_at(const Ids& ids, int64_t n) {
  return ids.is_uint16 ? static_cast<const uint16_t*>(ids.data)[n] : static_cast<const int32_t*>(ids.data)[n];
}

template <class T, int kWidth, class Index>
__global__ __launch_bounds__(kThreads) void embedding_flat(EmbeddingForward a, Index chunks_of_row, Index total) {
  const Index i = static_cast<Index>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= total) return;
  const int64_t row = i / chunks_of_row, column = static_cast<int64_t>(i % chunks_of_row) * kWidth;
  const int64_t id = id_at(a.ids, row) - a.first;
  float values[kWidth] = {};
  if (id >= 0 && id < a.table_rows) load_floats<kWidth>(static_cast<const T*>(a.table) + id * a.width + column, values);
  if (a.position_table != nullptr) {
    const int64_t position = a.positions != nullptr ? a.positions[row] : row % a.length;
    const bool known = position >= 0 && position < a.num_positions;
    float at_position[kWidth];
    if (known) load_floats<kWidth>(static_cast<const T*>(a.position_table) + position * a.width + column, at_position);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) values[j] += known ? at_position[j] : __int_as_float(0x7fc00000);  // NaN does not go unseen
  }
  store_floats<kWidth>(static_cast<T*>(a.out) + row * a.width + column, values);
}

// Ids outside the table get the last key of all.
__global__ __launch_bounds__(kThreads) void sort_keys(Ids ids, int rows, int64_t first, int64_t table_rows, uint32_t* keys,
                                                      int32_t* order) {
  const int n = blockIdx.x * kThreads + threadIdx.x;
  if (n >= rows) return;
  const int64_t id = id_at(ids, n) - first;
  keys[n] = static_cast<uint32_t>(id >= 0 && id < table_rows ? id : table_rows);
  order[n] = n;
}

// partials (pieces, 2, width): of the run that enters a piece from the left, and of the one that begins in it and leaves it.
template <class T, int kWidth>
__global__ void add_pieces(const uint32_t* keys, const int32_t* order, int rows, const T* d_out, int64_t width, uint32_t outside,
                           float* d_table, float* partials) {
  const int64_t column = (static_cast<int64_t>(blockIdx.y) * blockDim.x + threadIdx.x) * kWidth;
  if (column >= width) return;
  const int begin = blockIdx.x * kPiece, end = min(begin + kPiece, rows);
  float* entering = partials + static_cast<int64_t>(blockIdx.x) * 2 * width + column;
  uint32_t key = keys[begin];
  bool enters = begin > 0 && keys[begin - 1] == key;
  float sum[kWidth] = {};
  const auto finish = [&] {
    if (enters) {
      store_floats<kWidth>(entering, sum);
      return;
    }
    float* to = d_table + key * width + column;
    float values[kWidth];
    load_floats<kWidth>(to, values);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) values[j] += sum[j];
    store_floats<kWidth>(to, values);
  };
  for (int i = begin; i < end && key != outside; i += kAhead) {
    Pack<T, kWidth> ahead[kAhead];
    uint32_t next[kAhead];
#pragma unroll
    for (int u = 0; u < kAhead; ++u) {
      next[u] = i + u < end ? keys[i + u] : outside;
      if (next[u] != outside) ahead[u] = load_once<kWidth>(d_out + order[i + u] * width + column);
    }
#pragma unroll
    for (int u = 0; u < kAhead; ++u) {
      if (i + u >= end || key == outside) continue;
      if (next[u] != key) {
        finish();
        key = next[u];
        enters = false;
#pragma unroll
        for (int j = 0; j < kWidth; ++j) sum[j] = 0;
        if (key == outside) continue;
      }
      float values[kWidth];
      unpack<T, kWidth>(ahead[u], values);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) sum[j] += values[j];
    }
  }
  if (key == outside) return;
  const bool leaves = end < rows && keys[end] == key;
  if (leaves && !enters) {
    store_floats<kWidth>(entering + width, sum);
  } else {
    finish();
  }
}

// A block joins 32 columns (or vectors of four) of the run that begins in its piece and leaves it, if there is one.
template <class Vector>
__global__ __launch_bounds__(kThreads) void join_pieces(const uint32_t* keys, int rows, int64_t width, uint32_t outside,
                                                        const float* partials, float* d_table) {
  constexpr int kWidth = sizeof(Vector) / sizeof(float), kLanes = kThreads / 32;
  __shared__ float sums[kLanes][32][kWidth];
  const int piece = blockIdx.x, begin = piece * kPiece, end = begin + kPiece;
  if (end >= rows) return;
  const uint32_t key = keys[end - 1];
  if (key == outside || keys[end] != key || (begin > 0 && keys[begin - 1] == key)) return;
  int low = end, high = rows;  // the first place behind the run
  while (low < high) {
    const int middle = low + (high - low) / 2;
    if (keys[middle] == key) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  const int last = (low - 1) / kPiece;
  const int64_t column = (static_cast<int64_t>(blockIdx.y) * 32 + threadIdx.x % 32) * kWidth;
  float sum[kWidth] = {};
  if (column < width) {
#pragma unroll 4
    for (int p = piece + threadIdx.x / 32; p <= last; p += kLanes) {
      const float* from = partials + (static_cast<int64_t>(p) * 2 + (p == piece ? 1 : 0)) * width + column;
      const Vector values = *reinterpret_cast<const Vector*>(from);
      for (int j = 0; j < kWidth; ++j) sum[j] += reinterpret_cast<const float*>(&values)[j];
    }
  }
  for (int j = 0; j < kWidth; ++j) sums[threadIdx.x / 32][threadIdx.x % 32][j] = sum[j];
  __syncthreads();
  if (threadIdx.x >= 32 || column >= width) return;
  float* to = d_table + key * width + column;
  for (int j = 0; j < kWidth; ++j) {
    float total = 0;
    for (int lane = 0; lane < kLanes; ++lane) total += sums[lane][threadIdx.x][j];
    to[j] += total;
  }
}

template <class T, int kWidth>
__global__ __launch_bounds__(kThreads) void add_positions(const T* d_out, float* d_table, int64_t batch, int64_t plane) {
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kWidth;
  if (i >= plane) return;
  float sum[kWidth] = {};
#pragma unroll 8
  for (int64_t b = 0; b < batch; ++b) {
    float values[kWidth];
    unpack<T, kWidth>(load_once<kWidth>(d_out + b * plane + i), values);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) sum[j] += values[j];
  }
  float total[kWidth];
  load_floats<kWidth>(d_table + i, total);
#pragma unroll
  for (int j = 0; j < kWidth; ++j) total[j] += sum[j];
  store_floats<kWidth>(d_table + i, total);
}

// Where things lie in the workspace.
struct SortSpace {
  size_t keys, sorted_keys, order, sorted_order, partials, sort, sort_size, total;
  int end_bit;

  SortSpace(int64_t rows, int64_t width, int64_t table_rows) {
    if (rows >= int64_t{1} << 31 || table_rows >= int64_t{1} << 31) {
      throw Error(ExitCode::internal, "embedding_backward: " + std::to_string(rows) + " rows into a table of " +
                                          std::to_string(table_rows) + ": both must be below 2^31");
    }
    end_bit = static_cast<int>(std::bit_width(static_cast<uint32_t>(table_rows)));
    sort_size = 0;
    const uint32_t* no_keys = nullptr;
    const int32_t* no_order = nullptr;
    check(cub::DeviceRadixSort::SortPairs(nullptr, sort_size, no_keys, static_cast<uint32_t*>(nullptr), no_order,
                                          static_cast<int32_t*>(nullptr), static_cast<int>(rows), 0, end_bit),
          "the size of the radix sort");
    total = 0;
    const auto take = [&](size_t bytes) {
      const size_t offset = total;
      total += (bytes + 255) / 256 * 256;
      return offset;
    };
    const auto n = static_cast<size_t>(rows);
    keys = take(n * sizeof(uint32_t));
    sorted_keys = take(n * sizeof(uint32_t));
    order = take(n * sizeof(int32_t));
    sorted_order = take(n * sizeof(int32_t));
    partials = take(static_cast<size_t>(ceil_divide(rows, kPiece)) * 2 * static_cast<size_t>(width) * sizeof(float));
    sort = take(sort_size);
  }
};

unsigned blocks_for(int64_t threads) { return static_cast<unsigned>(ceil_divide(threads, kThreads)); }

}  // namespace

void embedding(const EmbeddingForward& a, Element element, cudaStream_t stream) {
  if (a.rows == 0 || a.width == 0) return;
  dispatch(element, in_chunks(a.width, {a.table, a.position_table, a.out}), [&](auto type, auto width) {
    using Index = typename decltype(width)::Index;
    constexpr int kWidth = decltype(width)::value;
    const int64_t chunks = a.width / kWidth, total = a.rows * chunks;
    embedding_flat<decltype(type), kWidth, Index>
        <<<blocks_for(total), kThreads, 0, stream>>>(a, static_cast<Index>(chunks), static_cast<Index>(total));
  });
  check_launch("embedding");
}

size_t embedding_backward_workspace(int64_t rows, int64_t width, int64_t table_rows) {
  return rows == 0 ? 0 : SortSpace(rows, width, table_rows).total;
}

void embedding_backward(const EmbeddingBackward& a, Element element, cudaStream_t stream) {
  if (a.rows == 0 || a.width == 0 || a.table_rows == 0) return;
  const SortSpace space(a.rows, a.width, a.table_rows);
  if (a.workspace_size < space.total) {
    throw Error(ExitCode::internal, "embedding_backward: a workspace of " + std::to_string(a.workspace_size) + " bytes, but " +
                                        std::to_string(space.total) + " are needed; ask embedding_backward_workspace");
  }
  auto* base = static_cast<char*>(a.workspace);
  const auto keys = [&](size_t offset) { return reinterpret_cast<uint32_t*>(base + offset); };
  const auto order = [&](size_t offset) { return reinterpret_cast<int32_t*>(base + offset); };
  auto* partials = reinterpret_cast<float*>(base + space.partials);
  const int rows = static_cast<int>(a.rows);
  sort_keys<<<blocks_for(rows), kThreads, 0, stream>>>(a.ids, rows, a.first, a.table_rows, keys(space.keys), order(space.order));
  check_launch("embedding_backward (keys)");
  size_t sort_size = space.sort_size;
  check(cub::DeviceRadixSort::SortPairs(base + space.sort, sort_size, keys(space.keys), keys(space.sorted_keys),
                                        order(space.order), order(space.sorted_order), rows, 0, space.end_bit, stream),
        "the radix sort of the embedding's ids");
  const auto pieces = static_cast<unsigned>(ceil_divide(rows, kPiece));
  const auto outside = static_cast<uint32_t>(a.table_rows);
  const bool chunks = in_chunks(a.width, {a.d_out, a.d_table});
  dispatch(element, chunks, [&](auto type, auto width) {
    using T = decltype(type);
    constexpr int kWidth = decltype(width)::value;
    const int64_t columns = a.width / kWidth;
    const auto threads = static_cast<unsigned>(std::min<int64_t>(kThreads, ceil_divide(columns, 32) * 32));
    add_pieces<T, kWidth><<<dim3(pieces, static_cast<unsigned>(ceil_divide(columns, threads))), threads, 0, stream>>>(
        keys(space.sorted_keys), order(space.sorted_order), rows, static_cast<const T*>(a.d_out), a.width, outside, a.d_table,
        partials);
  });
  check_launch("embedding_backward (pieces)");
  const auto join = [&](auto kernel, int64_t columns_of_block) {
    kernel<<<dim3(pieces, static_cast<unsigned>(ceil_divide(a.width, columns_of_block))), kThreads, 0, stream>>>(
        keys(space.sorted_keys), rows, a.width, outside, partials, a.d_table);
  };
  if (chunks) {
    join(join_pieces<float4>, 128);
  } else {
    join(join_pieces<float>, 32);
  }
  check_launch("embedding_backward (join)");
}

void position_backward(const void* d_out, float* d_table, int64_t batch, int64_t length, int64_t width, Element element,
                       cudaStream_t stream) {
  const int64_t plane = length * width;
  if (batch == 0 || plane == 0) return;
  dispatch(element, in_chunks(plane, {d_out, d_table}), [&](auto type, auto chunk) {
    using T = decltype(type);
    constexpr int kWidth = decltype(chunk)::value;
    add_positions<T, kWidth>
        <<<blocks_for(plane / kWidth), kThreads, 0, stream>>>(static_cast<const T*>(d_out), d_table, batch, plane);
  });
  check_launch("position_backward");
}

}  // namespace lacuna::cuda
