#include "launch/machine_rates.h"

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>

#include "data/error.h"
#include "trainer/config/merge.h"
#include "trainer/config/section.h"
#include "trainer/config/to_toml.h"
#include "trainer/report/run_folder.h"

namespace lacuna {

extern const char* const kMachinesToml;  // launch/machines.toml, put in by the build

namespace {

constexpr const char* kDefaultMachine = "h200";

std::optional<std::string> text_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(in), {});
}

}  // namespace

std::vector<std::pair<std::string, MachineRates>> read_machines(const std::string& text, const std::string& origin) {
  std::vector<std::pair<std::string, MachineRates>> machines;
  const auto root = read_config_text(text, origin, ".");
  for (const auto& [name, value] : *root.as<TomlTable>()) {
    const auto* table = value.as<TomlTable>();
    if (table == nullptr) throw value.place.error("[" + printable(name) + "] must be a section, a machine with its rates");
    const Section section(name, std::make_shared<const SectionValues>(SectionValues{*table, value.place}));
    auto rates = section.read<MachineRates>();
    if (rates.widths.empty() || rates.product_tflops.size() != rates.widths.size()) {
      throw section.error("product_tflops", "must have as many values as widths");
    }
    for (size_t i = 1; i < rates.widths.size(); ++i) {
      if (rates.widths[i] <= rates.widths[i - 1]) throw section.error("widths", "must ascend");
    }
    machines.emplace_back(name, std::move(rates));
  }
  return machines;
}

std::filesystem::path cache_folder() {
  const char* cache = std::getenv("LACUNA_CACHE");
  const char* home = std::getenv("HOME");
  if (cache == nullptr && home == nullptr) return {};
  const auto folder = cache != nullptr ? std::filesystem::path(cache) : std::filesystem::path(home) / ".cache" / "lacuna";
  std::error_code ignored;  // without a folder nothing is kept
  std::filesystem::create_directories(folder, ignored);
  return folder;
}

std::filesystem::path kept_rates_file() {
  const auto folder = cache_folder();
  return folder.empty() ? folder : folder / "machine.toml";
}

void keep_rates(const MachineRates& rates) {
  const auto file = kept_rates_file();
  if (file.empty()) throw disk_error("rates cannot be kept: neither LACUNA_CACHE nor HOME names a folder");
  auto copy = rates;
  replace_file(file, "[here]\n" + to_toml(fields_of(copy)));
}

MachineRates find_rates(const std::string& name) {
  const auto shipped = read_machines(kMachinesToml, "machines.toml");
  std::string names;
  for (const auto& [shipped_name, rates] : shipped) {
    if (shipped_name == name) return rates;
    names += (names.empty() ? "" : ", ") + shipped_name;
  }
  const bool kept = name.empty() && std::filesystem::exists(kept_rates_file());
  if (name.empty() && !kept) return find_rates(kDefaultMachine);
  const auto file = kept ? kept_rates_file() : std::filesystem::path(name);
  const auto text = text_of(file);
  if (!text) {
    throw usage_error("--machine " + name + " is neither a known machine (" + names +
                      ") nor a file; lacuna inspect --machine measures the one at hand");
  }
  const auto machines = read_machines(*text, file.string());
  if (machines.size() != 1) throw usage_error(file.string() + " must hold one section, a machine with its rates");
  return machines.front().second;
}

}  // namespace lacuna
