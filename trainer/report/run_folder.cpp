#include "trainer/report/run_folder.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "data/error.h"

namespace lacuna {
void replace_file(const std::filesystem::path& path, const std::string& text) {
  auto aside = path;
  aside += std::to_string(::getpid()) + ".tmp";  // two ranks may fail at once, and both write status.json
  std::ofstream file(aside, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  std::error_code error;
  if (file) std::filesystem::rename(aside, path, error);
  if (file && !error) return;
  std::filesystem::remove(aside, error);
  throw disk_error(path.string() + " could not be written; is the disk full?");
}

void write_status(const std::filesystem::path& run, const Status& s) {
  const nlohmann::ordered_json json{
      {"state", s.state}, {"exit_code", s.exit_code}, {"step", s.step}, {"message", s.message}, {"rank", s.rank}};
  replace_file(run / "status.json", json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

MetricsFile::MetricsFile(const std::filesystem::path& path)
    : path_(path), file_(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)) {
  if (file_ < 0) throw disk_error(path.string() + " cannot be opened for writing: " + std::strerror(errno));
}

MetricsFile::~MetricsFile() { ::close(file_); }

void MetricsFile::write(const nlohmann::ordered_json& line) {
  const std::string text = line.dump() + "\n";
  const auto written = ::write(file_, text.data(), text.size());
  if (written != static_cast<ssize_t>(text.size())) {
    throw disk_error(path_.string() + " could not be written: " + (written < 0 ? std::strerror(errno) : "the disk is full"));
  }
}

void cut_metrics(const std::filesystem::path& path, int64_t step) {
  std::ifstream file(path, std::ios::binary);
  std::string kept, line;
  while (std::getline(file, line)) {
    const auto json = nlohmann::json::parse(line, nullptr, false);
    if (json.is_discarded() || !json.contains("step") || json["step"].get<int64_t>() > step) break;
    kept += line + "\n";
  }
  file.close();
  replace_file(path, kept);
}

}  // namespace lacuna
