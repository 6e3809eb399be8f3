// The merges of a byte-pair vocabulary (Sennrich et al., 2016, section 3.2): which two neighbours become which token, and when.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace lacuna {

struct Merge {
  uint32_t rank;  // lower merges first
  int32_t token;  // what the two become
};

class MergeTable {
 public:
  // Room for `num_merges`.
  explicit MergeTable(size_t num_merges);

  // Of two merges of the same pair the later one counts, as in the reference. At most `num_merges` pairs.
  void add(int32_t left, int32_t right, Merge merge);
  const Merge* find(int32_t left, int32_t right) const;

 private:
  struct Slot {
    int32_t left = -1;
    int32_t right = -1;
    Merge merge{};
  };
  size_t slot_of(int32_t left, int32_t right) const;

  std::vector<Slot> slots_;  // open addressing, a power of two, at most half full
};

// Applies merges to the tokens of one piece: always the one of lowest rank, the leftmost first, until none applies.
// Time is O(n log n). Keeps its memory between pieces; one per thread.
class Merger {
 public:
  // `tokens` is changed in place.
  void merge(const MergeTable& table, std::vector<int32_t>& tokens);

 private:
  struct Link {
    int32_t previous;
    int32_t next;
  };
  struct Candidate {
    uint32_t rank;
    int32_t position;  // of the left token
    int32_t token;
  };
  void offer(const MergeTable& table, const std::vector<int32_t>& tokens, int32_t left, int32_t right);

  std::vector<Link> links_;
  std::vector<Candidate> heap_;
};

}  // namespace lacuna
