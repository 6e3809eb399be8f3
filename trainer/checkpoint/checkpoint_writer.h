// Saving: every rank writes its part in a thread while training goes on, then all agree and rank 0 gives the checkpoint its name.
//
//   begin    copies to host memory; rank 0 makes .step-S.tmp-NONCE; each rank's thread writes, hashes and syncs its file
//   commit   ranks tell each other how it went; rank 0 writes the manifest, syncs, renames to step-S, syncs the parent, replaces
//            LATEST, reads the new one back, and only then removes old ones
//
// So a checkpoint is whole or it does not exist, whenever the job ends. The constructor, begin and commit are collective over the
// world, and every rank leaves them alike. The threads never communicate.
#pragma once
#include <ATen/core/Tensor.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "data/error.h"
#include "trainer/checkpoint/file_io.h"
#include "trainer/checkpoint/manifest.h"
#include "trainer/checkpoint/safetensors.h"
#include "trainer/parallel/communicator.h"

namespace lacuna {

// One rank's piece of a tensor. Each piece is to be saved by exactly one rank.
struct TensorSlice {
  std::string name;
  std::vector<int64_t> full_shape;
  int64_t partition_dim = -1;  // -1 = `value` is the whole tensor
  int64_t part = 0, parts = 1;
  at::Tensor value;  // any device
};

struct CommitResult {
  bool saved = false;            // the checkpoint is whole and durable
  std::filesystem::path folder;  // its name; empty where nothing was in flight
  std::optional<Error> failure;  // why it was not saved or, beside `saved`, what went wrong afterwards. The same on every rank
};

class CheckpointWriter {
 public:
  // `folder` is the run's checkpoints/; it is made where absent, and freed of what dead jobs left. The caller holds the run's
  // lock. Throws Error(disk).
  CheckpointWriter(Communicator& world, std::filesystem::path folder, int64_t keep, FileIo io = FileIo());
  ~CheckpointWriter();
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  // Starts to save `slices`, which may be none, under `meta.step`; the values may change once it returns. Only one may be in
  // flight. Throws Error(disk) where the disk has not 1.1 times the bytes that all ranks need, Error(checkpoint) where the step
  // has been saved already.
  void begin(const std::vector<TensorSlice>& slices, const CheckpointMeta& meta);
  bool in_flight() const { return in_flight_; }
  // This rank's part has ended, well or badly, or nothing is in flight: commit() will not wait for this rank.
  bool written() const { return written_; }
  // Waits for every rank's part. A failure of any rank leaves the earlier checkpoints as they were and no temporary folder.
  CommitResult commit();

 private:
  uint64_t copy_to_host(const std::vector<TensorSlice>& slices);  // bytes
  std::string make_temporary_folder(uint64_t bytes);              // rank 0; its name
  void write_part();                                              // in the thread
  std::string outcome() const;                                    // of this rank's part, for the others
  std::string publish(const std::vector<std::string>& parts);     // rank 0; what went wrong after the checkpoint stood
  void remove_temporary() const;

  Communicator& world_;
  std::filesystem::path folder_;
  int64_t keep_;
  FileIo io_;

  bool in_flight_ = false;
  std::filesystem::path temporary_, final_;
  std::vector<NamedTensor> host_;  // kept from save to save: fresh pages would cost more than the copy
  Manifest part_;                  // this rank's; the thread adds its file
  std::optional<Error> failure_;   // this rank's
  std::atomic<bool> written_ = true;
  std::thread thread_;
};

}  // namespace lacuna
