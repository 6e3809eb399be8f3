#include "data/byte_source.h"

#include <algorithm>
#include <limits>

#include "data/error.h"

namespace lacuna {
namespace {

constexpr size_t kInputBytes = 256 << 10;
constexpr int kGzip = 16 + MAX_WBITS;

}  // namespace

void ByteSource::EndInflate::operator()(z_stream* stream) const {
  inflateEnd(stream);
  delete stream;
}

ByteSource::ByteSource(const std::filesystem::path& path) : path_(path) {
  std::error_code failed;
  if (std::filesystem::is_directory(path, failed)) {
    throw data_error(path.string() + " is a folder. Name its files, for example " + (path / "*.txt").string() + ".");
  }
  if (std::filesystem::exists(path, failed) && !std::filesystem::is_regular_file(path, failed)) {
    throw data_error(path.string() + " is no regular file, and input is read more than once. Write it to a file first.");
  }
  file_.open(path, std::ios::binary);
  if (!file_) throw data_error("Cannot open " + path.string() + ". Check its name, and that you may read it.");
  const uintmax_t size = std::filesystem::file_size(path, failed);
  stored_size_ = failed ? 0 : static_cast<int64_t>(size);
  input_.resize(kInputBytes);
  unsigned char magic[2] = {};
  file_.read(reinterpret_cast<char*>(magic), sizeof(magic));
  const bool gzip = file_.gcount() == 2 && magic[0] == 0x1f && magic[1] == 0x8b;
  file_.clear();
  file_.seekg(0);
  if (!gzip) return;
  inflater_.reset(new z_stream{});
  if (inflateInit2(inflater_.get(), kGzip) != Z_OK) throw std::bad_alloc();
}

size_t ByteSource::read(char* data, size_t capacity) {
  return inflater_ ? read_inflated(data, capacity) : read_stored(data, capacity);
}

size_t ByteSource::read_stored(char* data, size_t capacity) {
  file_.read(data, static_cast<std::streamsize>(capacity));
  if (file_.bad()) throw data_error("Reading " + path_.string() + " failed after " + std::to_string(stored_read_) + " bytes.");
  const auto count = static_cast<size_t>(file_.gcount());
  stored_read_ += static_cast<int64_t>(count);
  return count;
}

bool ByteSource::refill() {
  const size_t count = read_stored(input_.data(), input_.size());
  inflater_->next_in = reinterpret_cast<Bytef*>(input_.data());
  inflater_->avail_in = static_cast<uInt>(count);
  return count > 0;
}

// After a member, another one may follow, or zeros that fill up a block of a tape.
bool ByteSource::another_member() {
  while (true) {
    if (inflater_->avail_in == 0 && !refill()) return false;
    if (*inflater_->next_in != 0) break;
    ++inflater_->next_in;
    --inflater_->avail_in;
  }
  inflateReset(inflater_.get());
  member_ended_ = false;
  return true;
}

size_t ByteSource::read_inflated(char* data, size_t capacity) {
  inflater_->next_out = reinterpret_cast<Bytef*>(data);
  inflater_->avail_out = static_cast<uInt>(std::min<size_t>(capacity, std::numeric_limits<uInt>::max()));
  const uInt wanted = inflater_->avail_out;
  while (inflater_->avail_out == wanted) {
    if (member_ended_ && !another_member()) return 0;
    if (inflater_->avail_in == 0 && !refill()) {
      throw data_error(path_.string() + " is cut short: its gzip data does not end. Copy or download it again.");
    }
    const int status = inflate(inflater_.get(), Z_NO_FLUSH);
    if (status == Z_MEM_ERROR) throw std::bad_alloc();
    if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR) {
      throw data_error(path_.string() + ": damaged gzip data near byte " + std::to_string(stored_read_ - inflater_->avail_in) +
                       " (" + (inflater_->msg ? inflater_->msg : "no message") + "). Copy or download it again.");
    }
    member_ended_ = status == Z_STREAM_END;
  }
  return wanted - inflater_->avail_out;
}

}  // namespace lacuna
