// Which algorithm was the fastest for which matrix product, kept in a text file from run to run, so that only the first run on a
// machine spends seconds on timing. The file is a cache: one that is stale (another GPU or library), damaged or unreadable counts
// as empty and is written anew; note() says so. Several processes may share a path: each writes aside and renames.
#pragma once
#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

namespace lacuna {

struct GemmChoice {
  std::array<uint64_t, 8> algorithm{};  // the library's own words; zero for a pass that is not a product
  double microseconds = 0;
};

class GemmChoices {
 public:
  // machine: GPU and library version, one line. An empty path keeps everything in memory.
  GemmChoices(std::filesystem::path path, std::string machine);

  const GemmChoice* find(const std::string& problem) const;        // null where it was never timed
  void put(const std::string& problem, const GemmChoice& choice);  // and writes the file
  void save() const;

  const std::string& note() const { return note_; }  // why the file was not used or not written; empty where all is well

 private:
  void load();
  std::string text() const;

  std::filesystem::path path_;
  std::string machine_;
  std::map<std::string, GemmChoice> choices_;
  mutable std::string note_;
};

}  // namespace lacuna
