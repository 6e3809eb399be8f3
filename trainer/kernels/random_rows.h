// Random numbers that belong to rows: functions of (site, row, place in the row), the same whatever the ranks, the micro-batches or a
// resume. Philox as in data/random.h; on the host a loop, on a device composed of integer operations of ATen, about 150 launches.
#pragma once
#include <ATen/core/Tensor.h>

#include "data/random.h"

namespace lacuna {

// rows (B) int64, their names, on the device where the values are wanted -> (B, count) float32: values [begin, begin + count) of each
// row's own sequence. Standard normal (the sequence of Random::normal_block), or uniform in [0, 1) of 24 bits.
at::Tensor normal_rows(const Random& site, const at::Tensor& rows, int64_t count, int64_t begin = 0);
at::Tensor uniform_rows(const Random& site, const at::Tensor& rows, int64_t count, int64_t begin = 0);

// The same composed of ATen operations on any device: what devices run, and on the host an oracle. The normal values' last bits are
// those of the device's logarithm and cosine.
at::Tensor normal_rows_composed(const Random& site, const at::Tensor& rows, int64_t count, int64_t begin = 0);
at::Tensor uniform_rows_composed(const Random& site, const at::Tensor& rows, int64_t count, int64_t begin = 0);

}  // namespace lacuna
