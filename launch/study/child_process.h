// A program that runs beside this one, in a process group of its own: signals of the terminal reach it only through stop().
#pragma once
#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace lacuna {

class ChildProcess {
 public:
  // Its standard output goes to the end of `output`, its errors to the end of `log`. It is asked to stop when this process dies,
  // however that happens. Throws Error(disk) where a file cannot be opened, Error(internal) where no process can be made.
  ChildProcess(const std::vector<std::string>& command, const std::filesystem::path& output, const std::filesystem::path& log);
  ~ChildProcess();  // a child that still runs is killed
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) noexcept;

  // The exit code once it has ended, 128 + the number of a signal that ended it, 127 where the program could not be started.
  std::optional<int> poll();
  void stop();  // SIGUSR1: training saves and leaves with code 75; anything else ends

 private:
  pid_t process_ = -1;
};

// The path of the program that this process runs.
std::string own_program();

}  // namespace lacuna
