// Earlier rows that training goes on with from where their descent ended (EBT's replay buffer). The release keeps a queue of 192 rows a
// rank and draws half a batch's number of them. Here a share of the places in a step keeps the rows that stand there, and each of these
// places shows one of its own earlier rows again beside the fresh one, of a step that is drawn among those kept. Which row that is
// follows from the row's number; a place belongs to one data rank; and a checkpoint holds the rows by place. So the layout, the
// micro-batches and a resume change nothing, also where the number of data ranks changes.
//
// Memory over the data ranks: `rows` x T x (V + 2) x 4 bytes.
#pragma once
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "data/batch.h"
#include "data/random.h"
#include "trainer/parallel/communicator.h"

namespace lacuna {

class Replay {
 public:
  // rows: kept at most over all data ranks, and at least one for each place; share: of the `rows_per_step` places.
  Replay(int64_t rows, double share, int64_t rows_per_step);

  // Host. Sets Batch::kept and, after the run's first step, Batch::replayed, and counts the targets of what is replayed, all slots
  // of a row.
  void mark(Batch& batch, std::span<const Sample> samples, const Random& random) const;

  // Makes room for this rank's places; rows of T positions over V tokens. Throws a usage error where the data axis does not divide
  // the places.
  void build(const Communicator& data, int64_t length, int64_t vocabulary_size);
  struct Rows {
    at::Tensor tokens, targets;  // (K, T) int32
    at::Tensor logits;           // (K, T, V) float32
  };
  Rows read(const Batch& batch);                            // the batch's replayed rows
  void write(const Batch& batch, const at::Tensor& logits);  // its kept rows; logits (B, T, V) of all
  // On `device`, by name; dim 0 counts places.
  std::vector<std::pair<std::string, at::Tensor>> state(at::Device device);

 private:
  bool keeps(int64_t place) const { return before(place + 1) > before(place); }
  int64_t before(int64_t place) const;                // places below this one that keep
  at::Tensor slots(const at::Tensor& stream_positions) const;  // where a row lies, as a number among all that this rank keeps
  void make(at::Device device);

  double share_;
  int64_t rows_per_step_, num_places_, depth_;
  int64_t first_place_ = 0, own_places_ = 0, length_ = 0, vocabulary_size_ = 0;
  at::Tensor tokens_, targets_, logits_;  // (own places, depth, T), and (own places, depth, T, V)
};

}  // namespace lacuna
