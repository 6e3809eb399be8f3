// How the ranks of an axis find each other over NCCL, and how one of them leaves when that or anything else has failed.
#pragma once
#include <c10/core/Device.h>
#include <cuda_runtime_api.h>
#include <nccl.h>

#include <chrono>

#include "trainer/parallel/communicator.h"

namespace lacuna {

// Called by every rank of `host`, over which rank 0's id travels. On return a first message has gone over `stream`. Throws
// Error(communication) with the likely reasons if NCCL refuses or the ranks do not meet within `limit`.
ncclComm_t connect_nccl(Communicator& host, at::Device device, cudaStream_t stream, std::chrono::seconds limit);

// Ends the kernels under way at once, and frees `comm` as soon as no graph holds its collectives, which it does not wait for
// long.
void abort_nccl(ncclComm_t comm);

}  // namespace lacuna
