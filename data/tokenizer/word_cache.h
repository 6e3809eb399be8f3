// Remembers the tokens of short pieces. Bounded and lock-free: an entry is written once and never replaced, and since the
// frequent words of a language come early, the first ones to come are the ones to keep.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>

namespace lacuna {

class WordCache {
 public:
  static constexpr size_t kMaxBytes = 28;
  static constexpr size_t kMaxTokens = 8;

  WordCache() : entries_(std::make_unique<Entry[]>(kNumEntries)) {}

  // The piece's tokens, empty when it is not here. The memory lives as long as the cache.
  std::span<const int32_t> find(std::string_view piece) const {
    if (piece.size() > kMaxBytes) return {};
    for (size_t slot = hash_of(piece), probe = 0; probe < kProbes; ++probe) {
      const Entry& entry = entries_[(slot + probe) & (kNumEntries - 1)];
      const State state = entry.state.load(std::memory_order_acquire);
      if (state == State::empty) return {};
      if (state == State::ready && entry.length == piece.size() &&
          std::memcmp(entry.text.data(), piece.data(), piece.size()) == 0) {
        return {entry.tokens.data(), entry.num_tokens};
      }
    }
    return {};
  }

  // Pieces that are too long, or find no free place, are not kept.
  void insert(std::string_view piece, std::span<const int32_t> tokens) const {
    if (piece.size() > kMaxBytes || tokens.empty() || tokens.size() > kMaxTokens) return;
    for (size_t slot = hash_of(piece), probe = 0; probe < kProbes; ++probe) {
      Entry& entry = entries_[(slot + probe) & (kNumEntries - 1)];
      State expected = State::empty;
      if (!entry.state.compare_exchange_strong(expected, State::writing, std::memory_order_acquire)) continue;
      entry.length = static_cast<uint8_t>(piece.size());
      entry.num_tokens = static_cast<uint8_t>(tokens.size());
      std::memcpy(entry.text.data(), piece.data(), piece.size());
      std::memcpy(entry.tokens.data(), tokens.data(), tokens.size_bytes());
      entry.state.store(State::ready, std::memory_order_release);
      return;
    }
  }

 private:
  enum class State : uint8_t { empty, writing, ready };
  struct alignas(64) Entry {  // one cache line
    std::atomic<State> state{State::empty};
    uint8_t length = 0;
    uint8_t num_tokens = 0;
    std::array<char, kMaxBytes> text{};
    std::array<int32_t, kMaxTokens> tokens{};
  };
  static_assert(sizeof(Entry) == 64);
  static constexpr size_t kNumEntries = 1 << 17;
  static constexpr size_t kProbes = 4;

  static size_t hash_of(std::string_view piece) {
    constexpr uint64_t kMultiplier = 0x9e3779b97f4a7c15u;  // 2^64 / golden ratio
    uint64_t hash = piece.size();
    for (size_t at = 0; at < piece.size(); at += 8) {
      uint64_t eight = 0;
      std::memcpy(&eight, piece.data() + at, std::min<size_t>(8, piece.size() - at));
      hash = (hash ^ eight) * kMultiplier;
      hash ^= hash >> 32;
    }
    return hash;
  }

  std::unique_ptr<Entry[]> entries_;
};

}  // namespace lacuna
