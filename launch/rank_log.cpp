#include "launch/rank_log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include "data/error.h"

namespace lacuna {

RankLog::RankLog(const std::filesystem::path& run, int rank) {
  const auto path = run / "log" / ("rank-" + std::to_string(rank) + ".log");
  try {
    logger_ = std::make_shared<spdlog::logger>("rank", std::make_shared<spdlog::sinks::basic_file_sink_mt>(path.string()));
  } catch (const spdlog::spdlog_ex& error) {
    throw disk_error(path.string() + " cannot be written: " + error.what());
  }
  logger_->flush_on(spdlog::level::info);
  write("started, process " + std::to_string(::getpid()));
}

void RankLog::write(const std::string& text) { logger_->info(text); }

}  // namespace lacuna
