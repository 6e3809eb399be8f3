// Every failure that a user can cause or mend carries the exit code that the program leaves with.
#pragma once
#include <stdexcept>
#include <string>

namespace lacuna {

enum class ExitCode : int {
  ok = 0,
  usage = 2,       // command line or config
  data = 3,        // a corpus, text or tokenizer file
  checkpoint = 4,  // missing or damaged
  numerical = 5,   // a loss or gradient that is not finite
  memory = 6,
  communication = 7,  // a collective failed, or the watchdog fired
  disk = 8,
  internal = 70,
  stopped = 75,  // left on request, after saving
};

// The message says what is wrong, where, and how to mend it.
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

inline Error usage_error(const std::string& message) { return {ExitCode::usage, message}; }
inline Error data_error(const std::string& message) { return {ExitCode::data, message}; }
inline Error checkpoint_error(const std::string& message) { return {ExitCode::checkpoint, message}; }
inline Error disk_error(const std::string& message) { return {ExitCode::disk, message}; }

}  // namespace lacuna
