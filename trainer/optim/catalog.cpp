#include "trainer/optim/catalog.h"

#include "trainer/config/find_kind.h"
#include "trainer/config/to_toml.h"
#include "trainer/optim/adamw.h"

namespace lacuna {
namespace {

template <class O>
constexpr OptimizerEntry entry(std::string_view name, std::string_view summary, int64_t states) {
  using Options = typename O::Options;
  return {name, summary,
          [](const Section& section, FlatStorage& storage) -> std::unique_ptr<Optimizer> {
            return std::make_unique<O>(section.read<Options>(), storage);
          },
          [](const Section& section) {
            auto options = section.read<Options>();
            return to_toml(fields_of(options));
          },
          reference_of<Options>, states};
}

constexpr std::array kOptimizers{
    entry<AdamW>("adamw", "Adam with decoupled weight decay", 2),
};

}  // namespace

std::span<const OptimizerEntry> optimizers() { return kOptimizers; }

const OptimizerEntry& find_optimizer(const Section& section) { return find_kind(optimizers(), section, "adamw"); }

}  // namespace lacuna
