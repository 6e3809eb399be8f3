#include "objectives/catalog.h"

#include "objectives/energy.h"
#include "objectives/future_token.h"
#include "objectives/mask_enhanced.h"
#include "objectives/masked_language.h"
#include "objectives/masked_spectrogram.h"
#include "objectives/next_token.h"
#include "objectives/position.h"
#include "objectives/prefix_language.h"
#include "objectives/span_corruption.h"
#include "trainer/config/find_kind.h"
#include "trainer/config/to_toml.h"

namespace lacuna {
namespace {

template <class O>
constexpr ObjectiveEntry entry(std::string_view name, std::string_view modality, std::string_view summary,
                               std::string_view paper, std::string_view also = "") {
  using Options = typename O::Options;
  return {name,
          {modality, also},
          summary,
          paper,
          [](const Section& section) { return O::needs(section.read<Options>()); },
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
    entry<MaskEnhanced>("mask_enhanced", "text", "predict each token from those before it, some of them masked",
                        "Zhuang et al. 2025"),
    entry<MaskedLanguage>("masked_language", "text", "predict masked tokens from both sides", "Devlin et al. 2019"),
    entry<SpanCorruption>("span_corruption", "text", "write out masked spans", "Raffel et al. 2020"),
    entry<FutureToken>("future_token", "text", "predict several tokens ahead from every position", "Walker 2024"),
    entry<Energy>("energy", "text", "descend on candidates for the next token to the least energy", "Gladstone et al. 2025"),
    entry<Position>("position", "text", "find the place of tokens or patches whose position is withheld", "Wang et al. 2023",
                    "frames"),
    entry<MaskedSpectrogram>("masked_spectrogram", "frames", "reconstruct hidden parts of spectrograms or pictures", "Gong et al. 2022"),
    entry<PrefixLanguage>("prefix_language", "text", "go on after a prefix that is seen whole", "Raffel et al. 2020"),
};

}  // namespace

std::span<const ObjectiveEntry> objectives() { return kObjectives; }

Needs ObjectiveEntry::needs_on(std::string_view modality, const Section& section) const {
  auto asked = needs(section);
  if (modality == modalities[1]) asked.modality = modality;
  return asked;
}

const ObjectiveEntry& find_objective(const Section& section) { return find_kind(objectives(), section, "next_token"); }

}  // namespace lacuna
