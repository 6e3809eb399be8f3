#include "trainer/kernels/gemm_choices.h"

#include <unistd.h>

#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <system_error>
#include <utility>

namespace lacuna {
namespace {

constexpr char kFormat[] = "lacuna gemm choices 1";
constexpr size_t kMostBytes = 1 << 20;

uint64_t hash(std::string_view text) {  // FNV-1a: against accidents, not against malice
  uint64_t value = 0xcbf29ce484222325u;
  for (const unsigned char byte : text) value = (value ^ byte) * 0x100000001b3u;
  return value;
}

std::string end_line(std::string_view text) {
  char line[32];
  std::snprintf(line, sizeof line, "end %016" PRIx64 "\n", hash(text));
  return line;
}

// problem TAB microseconds TAB eight hexadecimal words
bool parse(const std::string& line, std::string& problem, GemmChoice& choice) {
  std::istringstream in(line);
  if (!std::getline(in, problem, '\t') || problem.empty()) return false;
  if (!(in >> choice.microseconds) || !std::isfinite(choice.microseconds) || choice.microseconds < 0) return false;
  in >> std::hex;
  for (auto& word : choice.algorithm) {
    if (!(in >> word)) return false;
  }
  return (in >> std::ws).eof();
}

}  // namespace

GemmChoices::GemmChoices(std::filesystem::path path, std::string machine) : path_(std::move(path)), machine_(std::move(machine)) {
  if (!path_.empty()) load();
}

const GemmChoice* GemmChoices::find(const std::string& problem) const {
  const auto found = choices_.find(problem);
  return found == choices_.end() ? nullptr : &found->second;
}

void GemmChoices::put(const std::string& problem, const GemmChoice& choice) {
  choices_[problem] = choice;
  save();
}

void GemmChoices::load() {
  std::error_code error;
  if (!std::filesystem::exists(path_, error)) return;
  std::ifstream in(path_, std::ios::binary);
  std::string content(kMostBytes + 1, '\0');
  in.read(content.data(), static_cast<std::streamsize>(content.size()));
  content.resize(static_cast<size_t>(in.gcount()));
  const auto ignore = [&](const char* why) {
    note_ = path_.string() + " " + why + "; it is not used and will be written anew";
    choices_.clear();
  };
  const size_t end = content.rfind("end ");
  if (content.size() > kMostBytes || end == std::string::npos || content.substr(end) != end_line(content.substr(0, end))) {
    return ignore("is damaged");
  }
  std::istringstream lines(content.substr(0, end));
  std::string line;
  if (!std::getline(lines, line) || line != kFormat) return ignore("has another format");
  if (!std::getline(lines, line) || line != machine_) return ignore("is of another GPU or library version");
  while (std::getline(lines, line)) {
    std::string problem;
    GemmChoice choice;
    if (!parse(line, problem, choice)) return ignore("is damaged");
    choices_[problem] = choice;
  }
}

std::string GemmChoices::text() const {
  std::string text = std::string(kFormat) + "\n" + machine_ + "\n";
  for (const auto& [problem, choice] : choices_) {
    char number[32];
    std::snprintf(number, sizeof number, "\t%.3f\t", choice.microseconds);
    text += problem + number;
    for (size_t i = 0; i < choice.algorithm.size(); ++i) {
      std::snprintf(number, sizeof number, "%s%" PRIx64, i == 0 ? "" : " ", choice.algorithm[i]);
      text += number;
    }
    text += '\n';
  }
  return text + end_line(text);
}

void GemmChoices::save() const {
  if (path_.empty()) return;
  std::error_code error;
  if (path_.has_parent_path()) std::filesystem::create_directories(path_.parent_path(), error);
  const std::filesystem::path aside = path_.string() + "." + std::to_string(getpid());
  {
    std::ofstream out(aside, std::ios::binary | std::ios::trunc);
    out << text();
    out.close();
    if (!out) error = std::make_error_code(std::errc::io_error);
  }
  if (!error) std::filesystem::rename(aside, path_, error);
  if (!error) return;
  note_ = path_.string() + " could not be written (" + error.message() + "); the next run times its matrix products again";
  std::error_code ignored;
  std::filesystem::remove(aside, ignored);
}

}  // namespace lacuna
