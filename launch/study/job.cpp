#include "launch/study/job.h"

#include <fstream>
#include <sstream>

#include "data/error.h"
#include "trainer/checkpoint/run_lock.h"
#include "trainer/report/run_folder.h"

namespace lacuna {
namespace {

constexpr int kAttempts = 2;

std::string tail_of(const std::filesystem::path& path, std::streamoff length) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  const auto size = static_cast<std::streamoff>(file.tellg());
  if (size <= 0) return "";
  file.seekg(std::max<std::streamoff>(0, size - length));
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

nlohmann::ordered_json read_json(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return nlohmann::ordered_json::parse(file, nullptr, false);
}

}  // namespace

std::filesystem::path evaluation_file(const PlannedRun& run) { return run.beside(".evaluation.json"); }

Job::Job(const Study& study, const PlannedRun& run) : study_(study), run_(run) {
  if (state_of(run_) == RunState::trained && is_evaluated()) state_ = JobState::done;
}

bool Job::held() const { return std::filesystem::exists(run_.folder) && RunLock::held(run_.folder); }

void Job::start() {
  std::error_code error;
  std::filesystem::create_directories(run_.folder.parent_path(), error);
  if (error) throw disk_error(run_.folder.parent_path().string() + " cannot be made: " + error.message());
  state_of(run_) == RunState::trained ? evaluate() : train();
}

void Job::fail(const std::string& why, int code) {
  state_ = JobState::failed;
  failure_ = why;
  exit_code_ = code;
}

std::vector<std::string> Job::launched(std::vector<std::string> arguments) const {
  std::vector<std::string> command;
  if (study_.options.ranks > 1) {
    command = study_.options.mpirun;
    command.insert(command.end(), {"-n", std::to_string(study_.options.ranks)});
  }
  command.push_back(own_program());
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

void Job::train() {
  std::vector<std::string> arguments = {"train", study_.base.string(), "--resume"};
  for (const auto& set : run_.sets) arguments.insert(arguments.end(), {"--set", set});
  state_ = JobState::training;
  child_.emplace(launched(arguments), run_.beside(".log"), run_.beside(".log"));
}

std::vector<std::string> Job::evaluation_command() const {
  std::vector<std::string> arguments = {"evaluate", run_.folder.string(), "--json"};
  for (const auto& task : run_.tasks) arguments.insert(arguments.end(), {"--task", task});
  for (const auto& set : study_.options.evaluate_set) arguments.insert(arguments.end(), {"--set", set});
  return arguments;
}

void Job::evaluate() {
  if (is_evaluated()) {
    state_ = JobState::done;
    return;
  }
  std::error_code ignored;
  std::filesystem::remove(run_.beside(".evaluation.part"), ignored);
  state_ = JobState::evaluating;
  child_.emplace(launched(evaluation_command()), run_.beside(".evaluation.part"), run_.beside(".log"));
}

// An evaluation counts if it is of the run's last step and was made by the very command that would be given now.
bool Job::is_evaluated() const {
  const auto kept = read_json(evaluation_file(run_));
  if (!kept.is_object() || kept.value("command", std::vector<std::string>{}) != evaluation_command()) return false;
  for (const auto& line : kept["lines"]) {
    if (line.value("step", int64_t{-1}) != run_.facts["steps"].get<int64_t>()) return false;
  }
  return true;
}

// From what the process has printed to the file of the results.
bool Job::keep_evaluation() const {
  const auto lines = read_json(run_.beside(".evaluation.part"));
  if (!lines.is_array()) return false;
  const nlohmann::ordered_json kept{{"command", evaluation_command()}, {"lines", lines}};
  replace_file(evaluation_file(run_), kept.dump(1) + "\n");
  std::filesystem::remove(run_.beside(".evaluation.part"));
  return true;
}

bool Job::advance(bool stopping) {
  if (!child_) return false;
  const auto code = child_->poll();
  if (!code) return false;
  child_.reset();
  if (state_ == JobState::training && *code == 0) {  // a launcher may change other codes, but 0 is what all ranks left with
    failures_ = 0;
    state_ = JobState::waiting;
    if (!stopping) evaluate();
  } else if (state_ == JobState::evaluating && *code == 0 && keep_evaluation()) {
    state_ = JobState::done;
  } else {
    retry_or_fail(*code, stopping);
  }
  return true;
}

void Job::retry_or_fail(int code, bool stopping) {
  const auto before = state_;
  state_ = JobState::waiting;
  if (stopping) return;
  if (++failures_ < kAttempts) {
    before == JobState::training ? train() : evaluate();
    return;
  }
  fail((before == JobState::training ? "training" : "evaluation") + std::string(" left with code ") + std::to_string(code) + ": " +
           last_words(),
       code);
}

void Job::stop() {
  if (child_) child_->stop();
}

// The last line that the log ends with.
std::string Job::last_words() const {
  auto text = tail_of(run_.beside(".log"), 4000);
  while (!text.empty() && (text.back() == '\n' || text.back() == '-')) text.pop_back();
  const auto told = text.rfind("lacuna: ");  // mpirun says something behind it
  auto line = told == std::string::npos ? text.substr(text.rfind('\n') + 1) : text.substr(told, text.find('\n', told) - told);
  return line.empty() ? "see " + run_.beside(".log").string() : line;
}

int64_t Job::step() const {
  const auto text = tail_of(run_.folder / "metrics.jsonl", 4000);
  int64_t step = 0;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const auto json = nlohmann::json::parse(line, nullptr, false);
    if (json.is_object()) step = std::max(step, json.value("step", int64_t{0}));
  }
  return step;
}

}  // namespace lacuna
