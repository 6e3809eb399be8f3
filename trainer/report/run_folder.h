// A run's folder on disk: who may write to it, and where each thing lies.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

namespace lacuna {

// Writes a file so that a reader, or a crash, finds the old text or the new one and nothing between. Throws Error(disk).
void replace_file(const std::filesystem::path& path, const std::string& text);

// status.json: the truth about how a run stands, whatever code its launcher returned. Replaced as a whole.
struct Status {
  std::string state;  // running, finished, stopped, failed
  int exit_code = 0;
  int64_t step = 0;
  std::string message;
  int rank = 0;
};
void write_status(const std::filesystem::path& run, const Status& status);

// metrics.jsonl: a line per step and per evaluation, on disk as soon as it is written.
class MetricsFile {
 public:
  explicit MetricsFile(const std::filesystem::path& path);
  ~MetricsFile();
  MetricsFile(const MetricsFile&) = delete;
  MetricsFile& operator=(const MetricsFile&) = delete;
  void write(const nlohmann::ordered_json& line);

 private:
  std::filesystem::path path_;
  int file_;
};

// Cuts the lines of steps after `step`, and a last line that was not written whole.
void cut_metrics(const std::filesystem::path& path, int64_t step);

}  // namespace lacuna
