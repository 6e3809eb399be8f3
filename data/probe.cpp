#include "data/probe.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <string>

#include "data/error.h"

namespace lacuna {
namespace {

// Linux: the sixth figure of statm counts the pages that RLIMIT_DATA limits.
uint64_t data_bytes() {
  std::ifstream statm("/proc/self/statm");
  uint64_t pages = 0;
  for (int i = 0; i < 6; ++i) statm >> pages;
  return pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

void limit(int resource, rlim_t most) {
  rlimit now{};
  getrlimit(static_cast<__rlimit_resource_t>(resource), &now);
  now.rlim_cur = std::min(now.rlim_max, most);
  setrlimit(static_cast<__rlimit_resource_t>(resource), &now);
}

// The child's answer is one line: an exit code as a character, then the message. Leaves without running the parent's clean-up.
[[noreturn]] void run_child(int out, const std::string& file, uint64_t file_bytes, const std::function<void()>& parse) {
  const auto seconds = static_cast<unsigned>(20 + file_bytes / 20'000'000);
  for (const int fatal : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGALRM}) std::signal(fatal, SIG_DFL);
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_CPU, seconds);
  limit(RLIMIT_DATA, data_bytes() + file_bytes + (rlim_t{1} << 30));
  alarm(seconds);
  std::string answer(1, static_cast<char>(ExitCode::ok));
  try {
    parse();
  } catch (const Error& e) {
    answer = std::string(1, static_cast<char>(e.code())) + e.what();
  } catch (const std::exception& e) {
    answer = std::string(1, static_cast<char>(ExitCode::data)) + file + ": " + e.what() + ". Is it a corpus?";
  }
  const ssize_t sent = write(out, answer.data(), answer.size());
  _exit(sent == static_cast<ssize_t>(answer.size()) ? 0 : 1);
}

}  // namespace

void probe_in_child(const std::filesystem::path& file, const std::function<void()>& parse) {
  std::error_code no_size;
  const uint64_t size = std::filesystem::file_size(file, no_size);
  int ends[2];
  if (pipe(ends) != 0) throw Error(ExitCode::internal, "No pipe is left; too many files are open.");
  const pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    run_child(ends[1], file.string(), no_size ? 0 : size, parse);
  }
  close(ends[1]);
  std::string answer;
  char buffer[4096];
  for (ssize_t n = 0; child > 0 && (n = read(ends[0], buffer, sizeof buffer)) > 0;) answer.append(buffer, static_cast<size_t>(n));
  close(ends[0]);
  if (child < 0) throw Error(ExitCode::memory, "No child process can be started to check " + file.string() + ".");
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || answer.empty()) {
    const std::string how = WIFSIGNALED(status) ? "signal " + std::to_string(WTERMSIG(status)) : "an abnormal exit";
    throw data_error(file.string() + ": reading it in a child process ended with " + how +
                     ", so the file is damaged or hostile. Prepare or copy it again.");
  }
  const auto code = static_cast<ExitCode>(answer[0]);
  if (code != ExitCode::ok) throw Error(code, answer.substr(1));
}

}  // namespace lacuna
