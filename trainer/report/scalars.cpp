#include "trainer/report/scalars.h"

namespace lacuna {
namespace {

void collect(Scalars& scalars, const std::string& prefix, const nlohmann::ordered_json& table, bool deep) {
  for (const auto& [key, value] : table.items()) {
    if (value.is_boolean()) {
      scalars.emplace_back(prefix + key, value.get<bool>() ? 1.0 : 0.0);
    } else if (value.is_number()) {
      scalars.emplace_back(prefix + key, value.get<double>());
    } else if (value.is_object() && deep) {
      collect(scalars, key == "slices" ? prefix : prefix + key + "/", value, deep);
    }
  }
}

}  // namespace

Scalars scalars_of(const nlohmann::ordered_json& line, bool slices) {
  std::string prefix;
  nlohmann::ordered_json figures;
  for (const auto& [key, value] : line.items()) {
    if (key == "event" || key == "step") continue;
    if (figures.empty() && (value.is_string() || value.is_number_integer())) {
      prefix += (value.is_string() ? value.get<std::string>() : key + "=" + value.dump()) + "/";
    } else {
      figures[key] = value;
    }
  }
  Scalars scalars;
  collect(scalars, prefix, figures, slices);
  return scalars;
}

}  // namespace lacuna
