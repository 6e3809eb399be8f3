// log/rank-N.log of a run: what a rank other than the first has to say.
#pragma once
#include <filesystem>
#include <memory>
#include <string>

namespace spdlog {
class logger;
}

namespace lacuna {

class RankLog {
 public:
  RankLog(const std::filesystem::path& run, int rank);
  void write(const std::string& text);

 private:
  std::shared_ptr<spdlog::logger> logger_;
};

}  // namespace lacuna
