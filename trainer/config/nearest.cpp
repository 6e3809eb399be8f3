#include <algorithm>
#include <numeric>

#include "trainer/config/section.h"

namespace lacuna {
namespace {

// Levenshtein distance in which swapping two neighbours also counts as one edit (optimal string alignment).
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before_last(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  std::iota(last.begin(), last.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before_last[j - 2] + 1);
    }
    before_last.swap(last);
    last.swap(row);
  }
  return last.back();
}

}  // namespace

std::string nearest(std::string_view word, const std::vector<std::string_view>& candidates) {
  std::string_view best;
  size_t best_distance = std::string_view::npos;
  for (const auto candidate : candidates) {
    const size_t longer = std::max(word.size(), candidate.size()), shorter = std::min(word.size(), candidate.size());
    const size_t allowed = (longer + 2) / 3;   // a third of the letters may be wrong; one of a short word
    if (longer - shorter > allowed) continue;  // also keeps hostile, endless words cheap
    const size_t distance = edit_distance(word, candidate);
    if (distance <= allowed && distance < best_distance) best = candidate, best_distance = distance;
  }
  return std::string(best);
}

}  // namespace lacuna
