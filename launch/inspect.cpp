#include "launch/inspect.h"

#include <ATen/ops/isfinite.h>

#include <fstream>
#include <limits>

#include "data/frame_corpus.h"
#include "data/open_corpus.h"
#include "data/tokenizer/tokenizer.h"
#include "launch/assemble.h"
#include "launch/commands.h"
#include "launch/environment.h"
#include "launch/gallery.h"
#include "trainer/checkpoint/checkpoints.h"
#include "trainer/checkpoint/run_lock.h"

namespace lacuna {
namespace {

using Json = nlohmann::ordered_json;

struct InspectArguments {
  std::string path;
  std::vector<std::string> sets;
  bool catalog = false, keys = false, batch = false, gallery = false, machine = false, json = false, verify = false;
  int64_t step = 1;
};

// Nested values indented under their key; long lists by their length alone.
void print_tree(const Json& json, int indent) {
  const std::string margin(static_cast<size_t>(indent), ' ');
  for (const auto& [key, value] : json.items()) {
    const bool flat_list = value.is_array() && (value.empty() || value[0].is_primitive());
    if (value.is_structured() && !flat_list) {
      std::printf("%s%s\n", margin.c_str(), key.c_str());
      print_tree(value, indent + 2);
    } else {
      std::printf("%s%-20s %s\n", margin.c_str(), key.c_str(),
                  value.is_string() ? value.get<std::string>().c_str() : value.dump().c_str());
    }
  }
}

Json inspect_path(const InspectArguments& a) {
  if (a.path.empty()) throw usage_error("name a run, a checkpoint, a corpus or a config, or ask for --catalog or --keys");
  const std::filesystem::path path(a.path);
  if (a.batch) return inspect_batch(a.path, a.sets, a.step);
  if (std::filesystem::is_directory(path)) {
    return std::filesystem::exists(path / kManifestName) ? inspect_checkpoint(a.path, a.verify) : inspect_run(a.path, a.verify);
  }
  if (path.extension() == ".toml") {
    throw usage_error(a.path + " is a config; add --batch to see what its objective makes of the rows, or use train --dry-run");
  }
  return inspect_corpus(a.path, a.verify);
}

void print(const Json& result, bool as_json, int indent) {
  if (as_json) {
    std::printf("%s\n", result.dump(indent).c_str());
  } else {
    print_tree(result, 0);
  }
}

int inspect(const InspectArguments& arguments) {
  if (arguments.machine) {
    const MpiSession mpi;
    const auto rates = inspect_machine();
    if (mpi.rank() == 0) print(rates, arguments.json, 2);
    return 0;
  }
  if (launcher_rank() != 0) return 0;  // one rank's word is enough
  if (arguments.keys) {
    std::printf("%s", config_reference().c_str());
    return 0;
  }
  if (arguments.gallery) {
    std::printf("%s\n", write_gallery(arguments.path, arguments.sets).c_str());
    return 0;
  }
  const auto result = arguments.catalog ? inspect_catalog() : inspect_path(arguments);
  print(result, arguments.json, arguments.batch ? -1 : 2);
  return 0;
}

Json inspect_frames(const std::string& path, bool verify) {
  const FrameCorpus corpus(path, std::numeric_limits<int32_t>::max());
  const auto& spec = corpus.spec();
  const auto& frames = spec.frames;
  std::vector<std::vector<int64_t>> counts;
  for (const auto& label : frames.labels) counts.emplace_back(label.classes.size());
  for (int64_t d = 0; d < spec.documents; ++d) {
    const auto labels = corpus.labels(d);
    for (size_t i = 0; i < labels.size(); ++i) {
      if (labels[i] >= 0) ++counts[i][static_cast<size_t>(labels[i])];
    }
  }
  auto labels = Json::object();
  for (size_t i = 0; i < counts.size(); ++i) {
    auto& classes = labels[frames.labels[i].name] = Json::object();
    for (size_t c = 0; c < counts[i].size(); ++c) classes[frames.labels[i].classes[c]] = counts[i][c];
  }
  Json info{{"kind", spec.kind},
            {"file", path},
            {"frames", frames.frames},
            {"documents", spec.documents},
            {"mel_bins", frames.bins},
            {"channels", frames.channels},
            {"sample_rate", frames.sample_rate},
            {"mean", frames.mean},
            {"deviation", frames.deviation},
            {"features", Json::parse(corpus.features())},
            {"labels", labels},
            {"content_hash", spec.content_hash}};
  if (verify) info["verified"] = true;
  return info;
}

}  // namespace

Json inspect_corpus(const std::string& path, bool verify) {
  probe_corpus(path);  // a file of unknown origin may crash the HDF5 library: a child process tries it first
  const auto spec = corpus_spec(path);
  if (verify) verify_corpus(path);
  if (spec.frames.bins > 0) return inspect_frames(path, verify);
  Json info{{"kind", spec.kind},
            {"file", path},
            {"tokens", spec.tokens},
            {"documents", spec.documents},
            {"bytes", spec.bytes},
            {"responses", spec.responses},
            {"vocabulary_size", spec.vocabulary_size},
            {"tokenizer", spec.tokenizer ? std::string(spec.tokenizer->name()) : "none"},
            {"content_hash", spec.content_hash}};
  if (verify) info["verified"] = true;
  return info;
}

Json inspect_checkpoint(const std::string& path, bool verify) {
  const auto checkpoint = Checkpoint::open(path, verify ? Verify::full : Verify::sizes);
  const auto& meta = checkpoint.meta();
  Json info{{"kind", "checkpoint"},
            {"folder", path},
            {"step", meta.step},
            {"tokens_seen", meta.tokens_seen},
            {"data", meta.data},
            {"tensor", meta.tensor},
            {"code_version", meta.code_version},
            {"corpora", meta.corpus_hashes},
            {"tensors", Json::object()}};
  for (const auto& name : checkpoint.names()) {
    Json tensor{{"dtype", checkpoint.manifest().tensors.at(name).dtype}, {"shape", checkpoint.full_shape(name)}};
    if (verify) {
      const auto value = checkpoint.read(name);
      if (value.is_floating_point()) tensor["not_finite"] = value.isfinite().logical_not().sum().item<int64_t>();
    }
    info["tensors"][name] = tensor;
  }
  if (verify) info["verified"] = true;
  return info;
}

Json inspect_run(const std::string& path, bool verify) {
  std::ifstream status(std::filesystem::path(path) / "status.json");
  if (!status) throw checkpoint_error(path + " is neither a run (no status.json) nor a checkpoint (no " + kManifestName + ")");
  Json info{{"kind", "run"}, {"folder", path}};
  const auto parsed = Json::parse(status, nullptr, false);
  if (parsed.is_object()) info["status"] = parsed;
  if (parsed.is_object() && parsed.value("state", "") == "running" && !RunLock::held(path)) {
    info["note"] = "no process works on this run: it was killed; go on with lacuna train --resume";
  }
  info["checkpoints"] = Json::array();
  for (const auto& folder : list_checkpoints(std::filesystem::path(path) / "checkpoints")) {
    Json entry{{"step", folder.step}, {"state", "whole"}};
    try {
      Checkpoint::open(folder.path, verify ? Verify::full : Verify::sizes);
    } catch (const Error& error) {
      entry["state"] = "damaged: " + std::string(error.what());
    }
    info["checkpoints"].push_back(entry);
  }
  std::ifstream metrics(std::filesystem::path(path) / "metrics.jsonl");
  std::string line;
  while (std::getline(metrics, line)) {
    const auto json = Json::parse(line, nullptr, false);
    if (json.is_object() && json.contains("event")) info["last_" + json["event"].get<std::string>()] = json;
  }
  return info;
}

void add_inspect(CLI::App& program, Command& chosen) {
  auto* command = program.add_subcommand("inspect", "Show what is in a run, a checkpoint, a corpus or a batch, or the catalog");
  auto arguments = std::make_shared<InspectArguments>();
  command->add_option("PATH", arguments->path, "a run's or checkpoint's folder, a corpus, or with --batch a config");
  command->add_flag("--catalog", arguments->catalog, "every objective, architecture and evaluation, and which pairs fit");
  command->add_flag("--keys", arguments->keys, "every key of a config with its default, accepted values and meaning");
  command->add_flag("--batch", arguments->batch, "what the config's objective makes of a step's rows");
  command->add_flag("--gallery", arguments->gallery,
                    "write gallery.html into the run's folder: what the network was shown of recordings or pictures, and what it paints");
  command->add_flag(
      "--machine", arguments->machine,
      "measure this machine's rates, under mpirun its links too, for train --dry-run; they are kept in the cache folder");
  command->add_option("--step", arguments->step, "the step that --batch shows")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--set", arguments->sets, "section.key=value, over the config's");
  command->add_flag("--verify", arguments->verify,
                    "read everything: hashes of a corpus or checkpoint, values that are not finite");
  command->add_flag("--json", arguments->json, "print JSON");
  command->footer("Example: lacuna inspect configs/quickstart.toml --batch --step 3 --json");
  command->callback([arguments, &chosen] { chosen = [arguments] { return inspect(*arguments); }; });
}

}  // namespace lacuna
