#include "data/tokenizer/merge_table.h"

#include <algorithm>
#include <bit>
#include <tuple>

namespace lacuna {
namespace {

constexpr int32_t kMerged = -1;  // in place of a token that its left neighbour has taken up

// std heaps keep the largest in front.
constexpr auto kLater = [](const auto& a, const auto& b) { return std::tie(a.rank, a.position) > std::tie(b.rank, b.position); };

}  // namespace

MergeTable::MergeTable(size_t num_merges) : slots_(std::bit_ceil(2 * num_merges + 2)) {}

size_t MergeTable::slot_of(int32_t left, int32_t right) const {
  const uint64_t key = static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  const uint64_t hash = key * 0x9e3779b97f4a7c15u;  // 2^64 / golden ratio
  size_t slot = (hash ^ hash >> 32) & (slots_.size() - 1);
  while (slots_[slot].left >= 0 && (slots_[slot].left != left || slots_[slot].right != right))
    slot = (slot + 1) & (slots_.size() - 1);
  return slot;
}

void MergeTable::add(int32_t left, int32_t right, Merge merge) { slots_[slot_of(left, right)] = {left, right, merge}; }

const Merge* MergeTable::find(int32_t left, int32_t right) const {
  const Slot& slot = slots_[slot_of(left, right)];
  return slot.left < 0 ? nullptr : &slot.merge;
}

void Merger::offer(const MergeTable& table, const std::vector<int32_t>& tokens, int32_t left, int32_t right) {
  if (left < 0 || right < 0) return;
  if (const Merge* merge = table.find(tokens[left], tokens[right])) {
    heap_.push_back({merge->rank, left, merge->token});
    std::push_heap(heap_.begin(), heap_.end(), kLater);
  }
}

void Merger::merge(const MergeTable& table, std::vector<int32_t>& tokens) {
  const auto size = static_cast<int32_t>(tokens.size());
  links_.resize(size);
  heap_.clear();
  for (int32_t i = 0; i < size; ++i) {
    links_[i] = {i - 1, i + 1 < size ? i + 1 : -1};
    offer(table, tokens, i - 1, i);
  }
  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end(), kLater);
    const Candidate candidate = heap_.back();
    heap_.pop_back();
    const int32_t left = candidate.position, right = links_[left].next;
    if (tokens[left] == kMerged || right < 0) continue;
    // The pair may have changed since it was offered.
    const Merge* merge = table.find(tokens[left], tokens[right]);
    if (!merge || merge->token != candidate.token) continue;
    tokens[left] = merge->token;
    tokens[right] = kMerged;
    const int32_t next = links_[right].next;
    links_[left].next = next;
    if (next >= 0) links_[next].previous = left;
    offer(table, tokens, links_[left].previous, left);
    offer(table, tokens, left, next);
  }
  std::erase(tokens, kMerged);
}

}  // namespace lacuna
