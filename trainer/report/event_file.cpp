#include "trainer/report/event_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "data/error.h"
#include "trainer/report/crc32c.h"

namespace lacuna {
namespace {

constexpr std::string_view kPrefix = "events.out.tfevents.";

// The encoding of protocol buffers: a key of field number and wire type, then the value.
enum Wire : uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

void put_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

template <class Integer>
void put_fixed(std::string& out, Integer value) {
  for (size_t byte = 0; byte < sizeof value; ++byte) out += static_cast<char>(value >> (8 * byte));
}

void put_key(std::string& out, uint32_t field, Wire wire) { put_varint(out, field << 3 | wire); }

void put_bytes(std::string& out, uint32_t field, const std::string& bytes) {
  put_key(out, field, kBytes);
  put_varint(out, bytes.size());
  out += bytes;
}

// Event: wall_time = 1, step = 2, file_version = 3, summary = 5, session_log = 7.
std::string event_at(double seconds, int64_t step) {
  std::string event;
  put_key(event, 1, kFixed64);
  put_fixed(event, std::bit_cast<uint64_t>(seconds));
  put_key(event, 2, kVarint);
  put_varint(event, static_cast<uint64_t>(step));
  return event;
}

double now() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

// TensorBoard reads a folder's files in the order of their names: two starts within a second must not share the time in it.
int64_t time_of_next_file(const std::filesystem::path& folder) {
  auto time = static_cast<int64_t>(now());
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    const auto name = entry.path().filename().string();
    if (!name.starts_with(kPrefix)) continue;
    time = std::max<int64_t>(time, std::atoll(name.c_str() + kPrefix.size()) + 1);
  }
  return time;
}

}  // namespace

std::string tfrecord(const std::string& message) {
  std::string frame;
  put_fixed(frame, static_cast<uint64_t>(message.size()));
  put_fixed(frame, masked_crc32c(frame));
  frame += message;
  put_fixed(frame, masked_crc32c(message));
  return frame;
}

std::string version_event(double seconds) {
  auto event = event_at(seconds, 0);
  put_bytes(event, 3, "brain.Event:2");
  return event;
}

std::string start_event(double seconds, int64_t first_step) {
  auto event = event_at(seconds, first_step);
  std::string log;  // SessionLog: status = 1, of which START is 1
  put_key(log, 1, kVarint);
  put_varint(log, 1);
  put_bytes(event, 7, log);
  return event;
}

std::string scalar_event(double seconds, int64_t step, const Scalars& scalars) {
  std::string summary;  // Summary: value = 1, repeated; Value: tag = 1, simple_value = 2
  for (const auto& [tag, number] : scalars) {
    std::string value;
    put_bytes(value, 1, tag);
    put_key(value, 2, kFixed32);
    put_fixed(value, std::bit_cast<uint32_t>(static_cast<float>(number)));
    put_bytes(summary, 1, value);
  }
  auto event = event_at(seconds, step);
  put_bytes(event, 5, summary);
  return event;
}

EventFile::EventFile(const std::filesystem::path& folder, int64_t first_step) {
  char host[256] = "";
  ::gethostname(host, sizeof host - 1);
  path_ = folder / (std::string(kPrefix) + std::to_string(time_of_next_file(folder)) + "." + host + "." + std::to_string(::getpid()));
  file_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644);
  if (file_ < 0) throw disk_error(path_.string() + " cannot be made: " + std::strerror(errno));
  append(tfrecord(version_event(now())) + tfrecord(start_event(now(), first_step)));
}

EventFile::~EventFile() {
  if (file_ >= 0) ::close(file_);
}

void EventFile::write(int64_t step, const Scalars& scalars) { append(tfrecord(scalar_event(now(), step, scalars))); }

void EventFile::append(const std::string& frames) {
  const auto written = ::write(file_, frames.data(), frames.size());
  if (written == static_cast<ssize_t>(frames.size())) return;
  throw disk_error(path_.string() + " could not be written: " + (written < 0 ? std::strerror(errno) : "the disk is full"));
}

}  // namespace lacuna
