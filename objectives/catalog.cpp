#include "objectives/catalog.h"

#include "objectives/next_token.h"
#include "trainer/config/find_kind.h"
#include "trainer/config/to_toml.h"

namespace lacuna {
namespace {

template <class O>
constexpr ObjectiveEntry entry(std::string_view name, std::string_view modality, std::string_view summary, std::string_view paper) {
  using Options = typename O::Options;
  return {name, modality, summary, paper, [](const Section& section) { return O::needs(section.read<Options>()); },
          [](const Section& section, const RowContext& context) -> std::unique_ptr<Objective> {
            return std::make_unique<O>(section.read<Options>(), context);
          },
          [](const Section& section) {
            auto options = section.read<Options>();
            return to_toml(fields_of(options));
          },
          reference_of<Options>};
}

constexpr std::array kObjectives{
    entry<NextToken>("next_token", "text", "predict each token from those before it", "Radford et al. 2019"),
};

}  // namespace

std::span<const ObjectiveEntry> objectives() { return kObjectives; }

const ObjectiveEntry& find_objective(const Section& section) { return find_kind(objectives(), section, "next_token"); }

}  // namespace lacuna
