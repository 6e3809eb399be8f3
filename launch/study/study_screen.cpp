#include "launch/study/study_screen.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "trainer/report/screen.h"

namespace lacuna {

StudyScreen::StudyScreen(const std::vector<PlannedRun>& runs) : terminal_(::isatty(STDERR_FILENO) == 1), began_(Clock::now()) {
  for (const auto& run : runs) work_ += run.flops();
}

StudyScreen::~StudyScreen() { end_line(); }

double StudyScreen::work_done(const std::vector<Job>& jobs) const {
  double done = 0;
  for (const auto& job : jobs) {
    const auto& facts = job.run().facts;
    const double share = static_cast<double>(job.step()) / facts["steps"].get<double>();
    done += job.run().flops() * (job.over() ? 1.0 : std::min(1.0, share));
  }
  return done;
}

void StudyScreen::show(const std::vector<Job>& jobs) {
  const auto now = Clock::now();
  const auto pause = terminal_ ? std::chrono::milliseconds(500) : std::chrono::milliseconds(30'000);
  if (now - last_ < pause) return;
  last_ = now;
  const double done = work_done(jobs), seconds = std::chrono::duration<double>(now - began_).count();
  if (before_ < 0) before_ = done;
  const auto over = std::count_if(jobs.begin(), jobs.end(), [](const Job& job) { return job.over(); });
  std::string line = std::to_string(over) + "/" + std::to_string(jobs.size()) + " runs";
  for (const auto& job : jobs) {
    if (!job.running()) continue;
    line += "  " + job.run().cell + " seed " + std::to_string(job.run().seed) +
            (job.state() == JobState::evaluating ? " evaluates"
                                                 : " step " + std::to_string(job.step()) + "/" + job.run().facts["steps"].dump());
  }
  line += "  " + format_share(done / work_) + " of the FLOPs";
  if (done > before_) line += "  left " + format_duration((work_ - done) / (done - before_) * seconds);
  std::fprintf(stderr, terminal_ ? "\r\x1b[2K%s" : "%s\n", line.c_str());
  open_line_ = terminal_;
}

void StudyScreen::note(const std::string& line) {
  end_line();
  std::fprintf(stderr, "%s\n", line.c_str());
}

void StudyScreen::note_once(const std::string& line) {
  if (said_.insert(line).second) note(line);
}

void StudyScreen::end_line() {
  if (open_line_) std::fprintf(stderr, "\n");
  open_line_ = false;
}

}  // namespace lacuna
