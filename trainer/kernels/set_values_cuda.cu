#include <algorithm>

#include "trainer/kernels/cuda_check.h"
#include "trainer/kernels/set_values_cuda.h"

namespace lacuna::cuda {
namespace {

struct Values {
  double value[8];
  int count;
};

template <class T>
__global__ void write(T* destination, Values values) {
  for (int i = 0; i < values.count; ++i) destination[i] = static_cast<T>(values.value[i]);
}

template <class T>
void launch(T* destination, std::initializer_list<double> values, cudaStream_t stream) {
  Values carried{};
  carried.count = static_cast<int>(std::min<size_t>(values.size(), 8));
  std::copy_n(values.begin(), carried.count, carried.value);
  write<<<1, 1, 0, stream>>>(destination, carried);
  check_launch("set_values");
}

}  // namespace

void set_values(float* destination, std::initializer_list<double> values, cudaStream_t stream) {
  launch(destination, values, stream);
}

void set_values(double* destination, std::initializer_list<double> values, cudaStream_t stream) {
  launch(destination, values, stream);
}

}  // namespace lacuna::cuda
