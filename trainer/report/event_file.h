// Event files for TensorBoard: `tensorboard --logdir runs` shows every run's curves, also while it trains. The format is TFRecord
// frames (length, its checksum, payload, its checksum) around protocol-buffer messages `Event`, encoded here by hand.
//
// A start of a run writes a file of its own. The file begins by saying from which step on it speaks (SessionLog START), at which
// TensorBoard drops what earlier files say of that step and later ones: after a resume the curves have no second branch.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>

#include "trainer/report/scalars.h"

namespace lacuna {

class EventFile {
 public:
  // Makes events.out.tfevents.TIME.HOST.PROCESS in `folder`, by name behind every one that is there. Throws Error(disk).
  EventFile(const std::filesystem::path& folder, int64_t first_step);
  ~EventFile();
  EventFile(const EventFile&) = delete;
  EventFile& operator=(const EventFile&) = delete;

  // One event with all of `scalars`, by tag; kept as fp32. In the file when the call returns. Throws Error(disk).
  void write(int64_t step, const Scalars& scalars);
  const std::filesystem::path& path() const { return path_; }

 private:
  void append(const std::string& frames);

  std::filesystem::path path_;
  int file_ = -1;
};

// `message` as a TFRecord frame.
std::string tfrecord(const std::string& message);
// `Event` messages: the two that a file begins with, and one with scalars. `seconds` since 1970.
std::string version_event(double seconds);
std::string start_event(double seconds, int64_t first_step);
std::string scalar_event(double seconds, int64_t step, const Scalars& scalars);

}  // namespace lacuna
