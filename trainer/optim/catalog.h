// Every optimizer, one line each in catalog.cpp.
#pragma once
#include <memory>
#include <span>

#include "trainer/config/section.h"
#include "trainer/model/flat_storage.h"
#include "trainer/optim/optimizer.h"

namespace lacuna {

struct OptimizerEntry {
  std::string_view name, summary;
  std::unique_ptr<Optimizer> (*make)(const Section& section, FlatStorage& storage);
  std::string (*resolve)(const Section& section);  // every key with its value, as TOML
  std::string (*reference)();                      // every key with its default, accepted values and meaning
  int64_t states;  // flat buffers beside the parameters and gradients
};

std::span<const OptimizerEntry> optimizers();
const OptimizerEntry& find_optimizer(const Section& section);

}  // namespace lacuna
