// Every objective, one line each in catalog.cpp.
#pragma once
#include <array>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "trainer/config/section.h"
#include "trainer/objective.h"

namespace lacuna {

struct ObjectiveEntry {
  std::string_view name;
  std::array<std::string_view, 2> modalities;  // the second "" where there is one alone
  std::string_view summary, paper;
  Needs (*needs)(const Section& section);
  std::unique_ptr<Objective> (*make)(const Section& section, const RowContext& context);
  std::string (*resolve)(const Section& section);  // every key with its value, as TOML
  std::string (*reference)();                      // every key with its default, accepted values and meaning

  // What it asks of networks of that modality; of another one than it has, as of its first.
  Needs needs_on(std::string_view modality, const Section& section) const;
};

std::span<const ObjectiveEntry> objectives();
// Throws a usage error at the section's kind if there is no such objective.
const ObjectiveEntry& find_objective(const Section& section);

}  // namespace lacuna
