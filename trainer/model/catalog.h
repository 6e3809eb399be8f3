// Every architecture, one line each in catalog.cpp.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "trainer/config/section.h"
#include "trainer/model/architecture.h"

namespace lacuna {

struct ArchitectureEntry {
  std::string_view name, modality, summary, paper;
  // Reads the section and throws usage errors at the keys that do not fit together or not with the tensor axis.
  Offers (*offers)(const Section& section, int64_t tensor_size);
  std::unique_ptr<Architecture> (*make)(const Section& section, const ModelContext& context);
  std::string (*resolve)(const Section& section);  // every key with its value, as TOML
  std::string (*reference)();                      // every key with its default, accepted values and meaning
};

std::span<const ArchitectureEntry> architectures();
// Throws a usage error at the section's kind if there is no such architecture.
const ArchitectureEntry& find_architecture(const Section& section);

}  // namespace lacuna
