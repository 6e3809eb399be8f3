#include "data/tasks/catalog.h"
#include "launch/inspect.h"
#include "objectives/catalog.h"
#include "trainer/config/experiment.h"
#include "trainer/config/to_toml.h"
#include "trainer/evaluate/catalog.h"
#include "trainer/model/catalog.h"
#include "trainer/optim/catalog.h"
#include "trainer/optim/schedule.h"

namespace lacuna {
namespace {

using Json = nlohmann::ordered_json;

// Settings of an architecture that are tried until the pair fits, the default first.
const std::vector<std::pair<std::string, std::string>> kAttempts{{"", ""}, {"visibility", "full"}, {"visibility", "prefix"}};

Json pair(const ObjectiveEntry& objective, const ArchitectureEntry& architecture, std::string_view modality) {
  const auto needs = objective.needs_on(modality, Section());
  Json entry{{"objective", objective.name},
             {"architecture", architecture.name},
             {"with", Json::object()},
             {"fits", false},
             {"reason", ""}};
  for (const auto& [key, value] : kAttempts) {
    const Section section = key.empty() ? Section() : Section().with(key, "\"" + value + "\"");
    std::optional<std::string> reason;
    try {
      reason = misfit(needs, architecture.offers(section, 1));
    } catch (const Error&) {
      continue;  // an architecture without this key
    }
    if (!reason) {
      entry["fits"] = true;
      entry["reason"] = "";
      if (!key.empty()) entry["with"][key] = value;
      return entry;
    }
    if (entry["reason"] == "") entry["reason"] = *reason;
  }
  return entry;
}

}  // namespace

Json inspect_catalog() {
  Json catalog{
      {"objectives", Json::array()}, {"architectures", Json::array()}, {"evaluations", Json::array()}, {"tasks", Json::array()},
      {"pairs", Json::array()}, {"pairs_on_frames", Json::array()}};
  const auto describe = [](const auto& e, Json modalities) {
    return Json{{"name", e.name}, {"modalities", std::move(modalities)}, {"summary", e.summary}, {"paper", e.paper}};
  };
  for (const auto& o : objectives()) {
    auto modalities = Json::array({o.modalities[0]});
    if (!o.modalities[1].empty()) modalities.push_back(o.modalities[1]);
    catalog["objectives"].push_back(describe(o, modalities));
  }
  for (const auto& a : architectures()) catalog["architectures"].push_back(describe(a, Json::array({a.modality})));
  for (const auto& e : evaluations()) catalog["evaluations"].push_back({{"name", e.name}, {"summary", e.summary}});
  for (const auto& t : tasks()) catalog["tasks"].push_back({{"name", t.name}, {"summary", t.summary}});
  for (const auto& o : objectives()) {
    for (const auto& a : architectures()) {
      catalog["pairs"].push_back(pair(o, a, o.modalities[0]));
      if (o.modalities[1] == "frames") catalog["pairs_on_frames"].push_back(pair(o, a, "frames"));
    }
  }
  return catalog;
}

std::string config_reference() {
  std::string out = fixed_sections_reference();
  const auto add = [&out](const char* section, const auto& entries) {
    for (const auto& e : entries) out += "\n[" + std::string(section) + "]  kind = \"" + std::string(e.name) + "\"\n" + e.reference();
  };
  add("objective", objectives());
  add("architecture", architectures());
  add("optimizer", optimizers());
  return out + "\n[schedule]\n" + reference_of<ScheduleOptions>();
}

}  // namespace lacuna
