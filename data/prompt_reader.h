// Files of JSON lines {"prompt": ..., "response": ...}, plain or gzip, one prompt after the other.
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/byte_source.h"

namespace lacuna {

struct Prompt {
  std::string prompt, response;
};

class PromptReader {
 public:
  explicit PromptReader(std::vector<std::filesystem::path> files);
  // False after the last one. Throws Error(data) that names file and line for what is not such a line, or has an empty response.
  bool next(Prompt& prompt);
  int64_t stored_size() const { return stored_size_; }  // of all files on disk
  int64_t stored_read() const { return stored_done_ + (source_ ? source_->stored_read() : 0); }

 private:
  bool next_line(std::string& line);

  std::vector<std::filesystem::path> files_;
  size_t next_file_ = 0;
  std::unique_ptr<ByteSource> source_;
  std::string buffer_;
  size_t begin_ = 0;  // of what is not read yet
  bool ended_ = false;
  int64_t line_ = 0, stored_size_ = 0, stored_done_ = 0;
};

}  // namespace lacuna
