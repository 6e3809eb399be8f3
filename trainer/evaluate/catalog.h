// Every evaluation, one line each in catalog.cpp.
#pragma once
#include <span>
#include <string_view>

#include "trainer/evaluate/evaluation.h"

namespace lacuna {

struct EvaluationEntry {
  std::string_view name, summary;
  std::unique_ptr<Evaluation> (*make)();
  bool reads_frames = false;  // judges networks that read frames, too or alone
};

std::span<const EvaluationEntry> evaluations();
// Throws a usage error with the nearest name if there is none of this name.
const EvaluationEntry& find_evaluation(std::string_view name);

}  // namespace lacuna
