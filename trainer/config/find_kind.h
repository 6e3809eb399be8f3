// The catalog entry that a section's `kind` names.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/config/section.h"

namespace lacuna {

// `fallback` is the kind of a section that names none. Throws a usage error with the nearest name and the list of all.
template <class Entry>
const Entry& find_kind(std::span<const Entry> catalog, const Section& section, const std::string& fallback) {
  const std::string kind = section.kind(fallback);
  std::vector<std::string_view> names;
  for (const auto& entry : catalog) {
    if (entry.name == kind) return entry;
    names.push_back(entry.name);
  }
  std::string message = "there is no \"" + kind + "\"";
  if (const auto near = nearest(kind, names); !near.empty()) message += "; did you mean \"" + near + "\"?";
  message += " (known:";
  for (const auto name : names) message += " " + std::string(name);
  throw section.error("kind", message + ")");
}

}  // namespace lacuna
