#include "data/prompt_reader.h"

#include "data/error.h"
#include "data/json_field.h"

namespace lacuna {
namespace {

constexpr size_t kBlock = 1 << 20, kLongestLine = 64 << 20;

}  // namespace

PromptReader::PromptReader(std::vector<std::filesystem::path> files) : files_(std::move(files)) {
  for (const auto& file : files_) stored_size_ += ByteSource(file).stored_size();
}

// The next line of the open file, without its end; false where there is none.
bool PromptReader::next_line(std::string& line) {
  while (true) {
    const size_t end = buffer_.find('\n', begin_);
    if (end != std::string::npos || (ended_ && begin_ < buffer_.size())) {
      line = buffer_.substr(begin_, end == std::string::npos ? end : end - begin_);
      begin_ = end == std::string::npos ? buffer_.size() : end + 1;
      ++line_;
      return true;
    }
    if (ended_) return false;
    buffer_.erase(0, begin_);
    begin_ = 0;
    const size_t held = buffer_.size();
    if (held > kLongestLine) {
      throw data_error(files_[next_file_ - 1].string() + ":" + std::to_string(line_ + 1) +
                       ": the line is longer than 64 MiB. Split it up.");
    }
    buffer_.resize(held + kBlock);
    const size_t count = source_->read(buffer_.data() + held, kBlock);
    buffer_.resize(held + count);
    ended_ = count == 0;
  }
}

bool PromptReader::next(Prompt& prompt) {
  std::string line;
  while (true) {
    if (!source_) {
      if (next_file_ == files_.size()) return false;
      source_ = std::make_unique<ByteSource>(files_[next_file_++]);
      buffer_.clear();
      begin_ = 0, line_ = 0, ended_ = false;
    }
    if (!next_line(line)) {
      stored_done_ += source_->stored_read();
      source_.reset();
      continue;
    }
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    try {
      prompt = {json_text_field(line, "prompt"), json_text_field(line, "response")};
      if (prompt.response.empty()) throw data_error("the field \"response\" is empty");
    } catch (const Error& e) {
      throw data_error(files_[next_file_ - 1].string() + ":" + std::to_string(line_) + ": " + e.what() +
                       ". Mend or remove the line.");
    }
    return true;
  }
}

}  // namespace lacuna
