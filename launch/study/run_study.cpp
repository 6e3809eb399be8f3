#include "launch/study/run_study.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <thread>

#include "launch/study/study_screen.h"

namespace lacuna {
namespace {

constexpr std::chrono::milliseconds kTick{50};

class Runner {
 public:
  Runner(const Study& study, const std::vector<PlannedRun>& runs) : study_(study), screen_(runs) {
    for (const auto& run : runs) jobs_.emplace_back(study, run);
    for (auto& job : jobs_) by_folder_[job.run().folder.string()] = &job;
  }

  StudyEnd run(const std::atomic<bool>& stop_requested, const std::function<void(const std::vector<Failure>&)>& finished) {
    StudyEnd end;
    for (;;) {
      if (stop_requested && !end.stopped) {
        end.stopped = true;
        screen_.note("stopping: the cells that run save and leave; the same command goes on");
        for (auto& job : jobs_) job.stop();
      }
      for (auto& job : jobs_) {
        if (job.advance(end.stopped)) follow(job, end, finished);
      }
      if (!end.stopped) start_more(end, finished);
      screen_.show(jobs_);
      if (count_running() == 0 && (end.stopped || std::all_of(jobs_.begin(), jobs_.end(), [](const Job& j) { return j.over(); }))) break;
      std::this_thread::sleep_for(kTick);
    }
    end.stopped = end.stopped && !std::all_of(jobs_.begin(), jobs_.end(), [](const Job& j) { return j.over(); });
    return end;
  }

 private:
  int64_t count_running() const {
    return std::count_if(jobs_.begin(), jobs_.end(), [](const Job& job) { return job.running(); });
  }

  // What a process's end has made of its job.
  void follow(const Job& job, StudyEnd& end, const std::function<void(const std::vector<Failure>&)>& finished) {
    const auto name = job.run().cell + " seed " + std::to_string(job.run().seed);
    if (job.state() == JobState::failed) {
      end.failures.push_back({job.run().cell, job.run().seed, job.failure(), job.exit_code()});
      screen_.note(name + " failed twice: " + job.failure());
    } else if (job.state() == JobState::training) {
      screen_.note(name + " failed and is tried once more; its log is " + job.run().beside(".log").string());
    } else if (job.state() == JobState::done) {
      screen_.note(name + " is done");
    }
    if (job.over()) finished(end.failures);
  }

  // The jobs of the cells that this one starts from and learns from.
  std::vector<const Job*> before(const Job& job) const {
    std::vector<const Job*> jobs;
    for (const auto* folder : {&job.run().from, &job.run().teacher}) {
      if (!folder->empty()) jobs.push_back(by_folder_.at(folder->string()));
    }
    return jobs;
  }

  void start_more(StudyEnd& end, const std::function<void(const std::vector<Failure>&)>& finished) {
    for (auto& job : jobs_) {
      if (job.state() != JobState::waiting || count_running() >= study_.options.parallel) continue;
      const auto needed = before(job);
      const auto in_state = [&](JobState state) {
        return std::find_if(needed.begin(), needed.end(), [&](const Job* other) { return other->state() == state; });
      };
      if (const auto failed = in_state(JobState::failed); failed != needed.end()) {
        job.fail((*failed)->run().cell + ", which it starts or learns from, failed", (*failed)->exit_code());
        follow(job, end, finished);
      }
      const auto done = [](const Job* other) { return other->state() == JobState::done; };
      if (job.state() != JobState::waiting || !std::all_of(needed.begin(), needed.end(), done)) continue;
      if (job.held()) {  // by a child of a study that was killed, which saves and leaves
        screen_.note_once("waiting for the job that holds " + job.run().folder.string());
        continue;
      }
      job.start();
      if (job.over()) follow(job, end, finished);
    }
  }

  const Study& study_;
  StudyScreen screen_;
  std::vector<Job> jobs_;
  std::map<std::string, Job*> by_folder_;
};

}  // namespace

StudyEnd run_study(const Study& study, const std::vector<PlannedRun>& runs, const std::atomic<bool>& stop_requested,
                   const std::function<void(const std::vector<Failure>&)>& finished) {
  return Runner(study, runs).run(stop_requested, finished);
}

}  // namespace lacuna
