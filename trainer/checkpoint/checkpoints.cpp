#include "trainer/checkpoint/checkpoints.h"

#include <ATen/ops/from_blob.h>
#include <ATen/ops/full.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <functional>
#include <optional>
#include <system_error>

#include "data/error.h"

namespace lacuna {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kStepPrefix = "step-";
constexpr std::string_view kTemporary = ".tmp-";

std::optional<int64_t> step_of(const std::string& name) {
  if (!name.starts_with(kStepPrefix)) return std::nullopt;
  int64_t step = 0;
  std::from_chars(name.data() + kStepPrefix.size(), name.data() + name.size(), step);
  // Only the one spelling that saving uses.
  return step_folder_name(step) == name ? std::optional(step) : std::nullopt;
}

// Entries that are real folders or files, not links. None where `folder` is absent.
std::vector<fs::path> entries(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> found;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (!fs::is_symlink(entry->symlink_status())) found.push_back(entry->path());
  }
  if (error && error != std::errc::no_such_file_or_directory && error != std::errc::not_a_directory) {
    throw disk_error(folder.string() + " cannot be listed: " + error.message());
  }
  return found;
}

fs::path bad_name(const fs::path& folder) {
  for (int number = 1;; ++number) {
    fs::path name = folder.string() + ".bad-" + std::to_string(number);
    if (!fs::exists(fs::symlink_status(name))) return name;
  }
}

std::string list_damaged(const std::vector<DamagedCheckpoint>& damaged) {
  std::string text;
  for (const DamagedCheckpoint& one : damaged) text += "\n  " + one.folder.filename().string() + ": " + one.reason;
  return text;
}

}  // namespace

std::string step_folder_name(int64_t step) {
  char digits[32];
  std::snprintf(digits, sizeof digits, "%08lld", static_cast<long long>(step));
  return std::string(kStepPrefix) + digits;
}

std::string temporary_name(const std::string& name, const std::string& ending) {
  return std::string(1, '.').append(name).append(kTemporary).append(ending);
}

std::vector<StepFolder> list_checkpoints(const fs::path& folder) {
  std::vector<StepFolder> found;
  for (const fs::path& path : entries(folder)) {
    if (const auto step = step_of(path.filename().string())) found.push_back({*step, path});
  }
  std::ranges::sort(found, std::greater{}, &StepFolder::step);
  return found;
}

FoundCheckpoint find_checkpoint(const fs::path& where, Verify verify, OnDamage on_damage, const FileIo& io) {
  std::error_code ignored;  // a folder that cannot be looked into is reported when it is listed
  const fs::path folder = fs::is_directory(where / "checkpoints", ignored) ? where / "checkpoints" : where;
  const std::vector<StepFolder> candidates = list_checkpoints(folder);
  if (candidates.empty()) {
    if (fs::exists(folder / kManifestName, ignored) || step_of(folder.filename().string()))
      return {Checkpoint::open(folder, verify), {}};
    throw checkpoint_error("there is no checkpoint in " + folder.string() + "; name a run that has saved one, or train it first");
  }
  std::vector<DamagedCheckpoint> damaged;
  for (const StepFolder& candidate : candidates) {
    try {
      FoundCheckpoint found{Checkpoint::open(candidate.path, verify), {}};
      if (found.checkpoint.meta().step != candidate.step) {
        throw checkpoint_error("its manifest is that of step " + std::to_string(found.checkpoint.meta().step));
      }
      for (DamagedCheckpoint& one : damaged) {
        if (on_damage == OnDamage::leave) break;
        one.renamed = bad_name(one.folder);
        io.rename(one.folder, one.renamed);
      }
      found.damaged = std::move(damaged);
      return found;
    } catch (const Error& error) {
      if (error.code() != ExitCode::checkpoint) throw;
      damaged.push_back({candidate.path, error.what(), {}});
    }
  }
  throw checkpoint_error("no checkpoint in " + folder.string() + " is usable:" + list_damaged(damaged) +
                         "\nBring an intact copy back, or start the run anew under another run.name");
}

Checkpoint open_checkpoint(const fs::path& where, Verify verify) {
  auto found = find_checkpoint(where, verify);
  for (const DamagedCheckpoint& bad : found.damaged) {
    std::fprintf(stderr, "lacuna: %s is damaged (%s); an older checkpoint is used\n", bad.folder.c_str(), bad.reason.c_str());
  }
  return std::move(found.checkpoint);
}

Checkpoint open_together(const fs::path& where, Communicator& world) {
  std::optional<Checkpoint> found;
  if (world.rank() == 0) found = open_checkpoint(where, Verify::full);
  return *share_checkpoint(std::move(found), world);
}

std::optional<Checkpoint> share_checkpoint(std::optional<Checkpoint> found, Communicator& world) {
  std::string folder = found ? found->folder().string() : "";
  auto size = at::full({1}, static_cast<int64_t>(folder.size()), at::kLong);
  world.broadcast(size, 0);
  folder.resize(static_cast<size_t>(size.item<int64_t>()));
  if (folder.empty()) return std::nullopt;
  auto bytes = at::from_blob(folder.data(), {size.item<int64_t>()}, at::kByte);
  world.broadcast(bytes, 0);
  return found ? std::move(found) : Checkpoint::open(folder, Verify::sizes);
}

void remove_old_checkpoints(const FileIo& io, const fs::path& folder, int64_t newest_step, int64_t keep) {
  int64_t num_seen = 0;
  for (const StepFolder& one : list_checkpoints(folder)) {
    if (one.step > newest_step || ++num_seen <= keep) continue;
    const fs::path going = folder / temporary_name(one.path.filename().string(), "old");
    io.rename(one.path, going);
    io.remove_tree(going);
  }
}

void remove_leftovers(const FileIo& io, const fs::path& folder) {
  for (const fs::path& path : entries(folder)) {
    const std::string name = path.filename().string();
    const bool ours = name.starts_with(".step-") || name.starts_with(".LATEST");
    if (ours && name.find(kTemporary) != std::string::npos) io.remove_tree(path);
  }
}

}  // namespace lacuna
