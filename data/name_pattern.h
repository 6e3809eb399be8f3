// Labels out of file names: "{digit}_{speaker}_{index}" finds 0, jackson and 0 in 0_jackson_0.wav.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

namespace lacuna {

class NamePattern {
 public:
  // Words in braces are labels, {} is anything that is no label, all else stands for itself. As many folders are looked at as the
  // pattern has slashes: "{class}/{}" takes the folder's name. A label ends at the next place where the pattern goes on; the
  // ending of the file's name is not looked at. Throws Error(usage) for a pattern that cannot be told apart, such as "{a}{b}".
  explicit NamePattern(const std::string& pattern);

  const std::vector<std::string>& labels() const { return labels_; }
  // A word per label. Throws Error(data) that names the file where it does not fit.
  std::vector<std::string> match(const std::filesystem::path& file) const;

 private:
  std::string pattern_;
  std::vector<std::string> labels_;   // without those of {}
  std::vector<bool> kept_;            // per field in braces
  std::vector<std::string> between_;  // texts before, between and after fields
  size_t folders_ = 0;
};

}  // namespace lacuna
