#include "trainer/config/experiment.h"

#include <algorithm>

#include "trainer/config/merge.h"
#include "trainer/config/to_toml.h"
#include "trainer/config/toml_reader.h"

namespace lacuna {
namespace {

const std::vector<std::string_view> kSections = {"run",       "data",      "batch",    "objective",  "architecture", "parallel",
                                                 "precision", "optimizer", "schedule", "checkpoint", "evaluate"};

void check_sections(const TomlTable& root) {
  std::string list;
  for (const auto name : kSections) list += (list.empty() ? "[" : ", [") + std::string(name) + "]";
  for (const auto& [name, value] : root) {
    if (std::find(kSections.begin(), kSections.end(), name) == kSections.end()) {
      const std::string near = nearest(name, kSections);
      throw value.place.error("[" + printable(name) + "] is not a section" +
                              (near.empty() ? "" : "; did you mean [" + near + "]?") + " (sections: " + list + ")");
    }
    if (!value.as<TomlTable>())
      throw value.place.error("[" + name + "] must be a section with keys under it, not " + describe_value(value));
  }
}

Section section_of(const TomlValue& root, const std::string& name) {
  const auto& table = *root.as<TomlTable>();
  const auto found = table.find(name);
  if (found == table.end()) return {name, std::make_shared<const SectionValues>(SectionValues{{}, root.place})};
  return {name, std::make_shared<const SectionValues>(SectionValues{*found->second.as<TomlTable>(), found->second.place})};
}

bool is_folder_name(const std::string& name) {
  const auto is_bad = [](unsigned char c) { return c < 0x20 || c == 0x7f || c == '/' || c == '\\'; };
  return !name.empty() && name.size() <= 200 && name.front() != '.' && std::none_of(name.begin(), name.end(), is_bad);
}

RunOptions read_run(const Section& section) {
  auto run = section.read<RunOptions>();
  if (!is_folder_name(run.name))
    throw section.error("name", "\"" + printable(run.name) + "\" does not name a folder; use letters, digits, _ and -");
  if (run.out.empty() || run.out.find('\0') != std::string::npos)
    throw section.error("out", "must be the path of a folder, such as \"runs\"");
  run.out = std::filesystem::absolute(run.out).lexically_normal().string();
  if ((run.steps > 0) == (run.tokens > 0))
    throw section.error(run.tokens > 0 ? "tokens" : "steps",
                        "exactly one of steps and tokens must be above 0, and they are steps = " + std::to_string(run.steps) +
                            " and tokens = " + std::to_string(run.tokens) +
                            (run.steps > 0 ? "; set the other one to 0" : "; say how long the run is, such as steps = 300"));
  return run;
}

Experiment assemble(TomlValue root, const std::vector<std::string>& sets) {
  for (const auto& set : sets) apply_set(root, set);
  check_sections(*root.as<TomlTable>());
  Experiment e;
  e.run_section = section_of(root, "run");
  e.data_section = section_of(root, "data");
  e.batch_section = section_of(root, "batch");
  e.parallel_section = section_of(root, "parallel");
  e.precision_section = section_of(root, "precision");
  e.evaluate_section = section_of(root, "evaluate");
  e.objective = section_of(root, "objective");
  e.architecture = section_of(root, "architecture");
  e.optimizer = section_of(root, "optimizer");
  e.schedule = section_of(root, "schedule");
  e.run = read_run(e.run_section);
  e.data = e.data_section.read<DataOptions>();
  e.batch = e.batch_section.read<BatchOptions>();
  e.parallel = e.parallel_section.read<ParallelOptions>();
  e.precision = e.precision_section.read<PrecisionOptions>();
  e.checkpoint = section_of(root, "checkpoint").read<CheckpointOptions>();
  e.evaluate = e.evaluate_section.read<EvaluateOptions>();
  return e;
}

template <class Options>
void print_section(std::string& out, std::string_view name, Options options) {
  out.append(out.empty() ? "[" : "\n[").append(name).append("]\n").append(to_toml(fields_of(options)));
}

}  // namespace

Experiment read_experiment(const std::filesystem::path& file, const std::vector<std::string>& sets) {
  Experiment experiment = assemble(read_config(file), sets);
  experiment.file = file;
  return experiment;
}

Experiment read_experiment_text(const std::string& text, const std::string& origin, const std::filesystem::path& folder,
                                const std::vector<std::string>& sets) {
  return assemble(read_config_text(text, origin, folder), sets);
}

std::string fixed_sections_to_toml(const Experiment& e) {
  std::string out;
  print_section(out, "run", e.run);
  print_section(out, "data", e.data);
  print_section(out, "batch", e.batch);
  print_section(out, "parallel", e.parallel);
  print_section(out, "precision", e.precision);
  print_section(out, "checkpoint", e.checkpoint);
  print_section(out, "evaluate", e.evaluate);
  return out;
}

std::string fixed_sections_reference() {
  return "[run]\n" + reference_of<RunOptions>() + "\n[data]\n" + reference_of<DataOptions>() + "\n[batch]\n" +
         reference_of<BatchOptions>() + "\n[parallel]\n" + reference_of<ParallelOptions>() + "\n[precision]\n" +
         reference_of<PrecisionOptions>() + "\n[checkpoint]\n" + reference_of<CheckpointOptions>() + "\n[evaluate]\n" +
         reference_of<EvaluateOptions>();
}

}  // namespace lacuna
