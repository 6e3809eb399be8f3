#include "data/tasks/modular_arithmetic.h"

#include <algorithm>

namespace lacuna {
namespace {

constexpr int64_t kModulus = 7;

}  // namespace

Example ModularArithmeticTask::make(Draw draw) const {
  auto& random = draw.random;
  const int64_t trained = longest_trained();
  const int64_t size = draw.split == Split::test ? draw.size : std::min(draw.size, trained);
  Example e;
  int64_t value = 0;
  for (int64_t i = 0; i < size; ++i) {
    const int64_t term = random.below(kModulus);
    const bool minus = i > 0 && random.below(2) == 0;
    e.context += i == 0 ? "" : minus ? " - " : " + ";
    e.context += std::to_string(term);
    value += minus ? kModulus - term : term;
  }
  e.correct = value % kModulus;
  e.context += " mod " + std::to_string(kModulus) + " =";
  for (int64_t v = 0; v < kModulus; ++v) e.choices.push_back(" " + std::to_string(v));
  e.answer = e.choices[static_cast<size_t>(e.correct)];
  e.slices = {{"beyond", size > trained ? "yes" : "no"}};
  return e;
}

}  // namespace lacuna
