// What `lacuna inspect` can show; each returns JSON, which the command prints as it is or as a table.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace lacuna {

// Every objective, architecture and evaluation, and which pairs fit, with the architecture keys that make them fit.
nlohmann::ordered_json inspect_catalog();
// Every key that a config may hold, with its default, accepted values and meaning: tables for people.
std::string config_reference();
// What the config's objective makes of the rows of step `step`.
nlohmann::ordered_json inspect_batch(const std::string& config, const std::vector<std::string>& sets, int64_t step);
// Measures this machine and keeps what it finds. Collective, once MPI is up.
nlohmann::ordered_json inspect_machine();
nlohmann::ordered_json inspect_corpus(const std::string& path, bool verify);
nlohmann::ordered_json inspect_checkpoint(const std::string& path, bool verify);
nlohmann::ordered_json inspect_run(const std::string& path, bool verify);

}  // namespace lacuna
