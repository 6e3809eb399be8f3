#include "data/tasks/modular_arithmetic.h"

namespace lacuna {
namespace {

constexpr int64_t kModulus = 7;

}  // namespace

Example ModularArithmeticTask::example_of(int64_t size, Random& random) const {
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
  return e;
}

}  // namespace lacuna
