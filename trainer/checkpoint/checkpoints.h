// The checkpoints of a run: their names, which of them is good, and which go.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/file_io.h"
#include "trainer/parallel/communicator.h"

namespace lacuna {

// "step-00000500"
std::string step_folder_name(int64_t step);
// ".NAME.tmp-ENDING": what is not, or no longer, a checkpoint.
std::string temporary_name(const std::string& name, const std::string& ending);

struct StepFolder {
  int64_t step = 0;
  std::filesystem::path path;
};
// The step folders of a run's checkpoints/, newest first, unopened. None where the folder is absent.
std::vector<StepFolder> list_checkpoints(const std::filesystem::path& folder);

struct DamagedCheckpoint {
  std::filesystem::path folder;
  std::string reason;
  std::filesystem::path renamed;  // empty = left in place
};
struct FoundCheckpoint {
  Checkpoint checkpoint;
  std::vector<DamagedCheckpoint> damaged;  // newer than the one found; to be reported
};
enum class OnDamage { leave, rename };

// The newest good checkpoint of a run's folder (or of its checkpoints/), or the one checkpoint whose folder `where` is. With
// OnDamage::rename damaged ones become NAME.bad-N, which only a job that holds the run's lock may ask for; where no good one is
// left nothing is renamed, so that the next start fails in the same way instead of beginning anew. Throws Error(checkpoint) that
// names everything that was looked at.
FoundCheckpoint find_checkpoint(const std::filesystem::path& where, Verify verify, OnDamage on_damage = OnDamage::leave,
                                const FileIo& io = FileIo());

// The one that find_checkpoint() finds; damaged ones are told on stderr.
Checkpoint open_checkpoint(const std::filesystem::path& where, Verify verify);
// The same one for all ranks, whatever each of them would find for itself: rank 0 finds it and hashes it, the others open that
// folder with Verify::sizes. Collective; where it throws on one rank alone, that rank is to end the job.
Checkpoint open_together(const std::filesystem::path& where, Communicator& world);
// The second half of it: what rank 0 has opened, or nothing, opened by all. Of the other ranks `found` is empty.
std::optional<Checkpoint> share_checkpoint(std::optional<Checkpoint> found, Communicator& world);

// Keeps the `keep` newest of the checkpoints up to `newest_step`. A folder is renamed before it is emptied, so that no half of a
// checkpoint ever bears a checkpoint's name.
void remove_old_checkpoints(const FileIo& io, const std::filesystem::path& folder, int64_t newest_step, int64_t keep);
// Removes what jobs that were ended in the middle of saving or removing have left. Only for the holder of the run's lock.
void remove_leftovers(const FileIo& io, const std::filesystem::path& folder);

}  // namespace lacuna
