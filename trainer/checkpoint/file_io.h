// The file operations that saving needs, each checked: a failure throws Error(disk) naming the operation, the path and the
// system's reason. Nothing here follows a symbolic link in the last part of a path, and what it makes is for its owner alone.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string_view>

namespace lacuna {

enum class FileOperation { make_folder, create, write, sync, close, rename, remove, sync_folder, free_space };

class FileIo {
 public:
  // Asked before each operation; a result other than 0 is the errno with which the operation then fails. Tests give one to
  // fail, or to end the process, at an operation of their choice. It may be called from several threads.
  using Fault = std::function<int(FileOperation, const std::filesystem::path&)>;
  explicit FileIo(Fault fault = {}) : fault_(std::move(fault)) {}

  void make_folder(const std::filesystem::path& path) const;  // must not exist; its parent must
  void sync_folder(const std::filesystem::path& path) const;  // makes the entries of a folder durable
  void rename(const std::filesystem::path& from, const std::filesystem::path& to) const;
  void remove_tree(const std::filesystem::path& path) const;       // absent is fine; links inside are removed, not followed
  uint64_t free_bytes(const std::filesystem::path& folder) const;  // as left to a user without privileges
  // A new file with this content, on disk when the call returns.
  void write_file(const std::filesystem::path& path, std::string_view content) const;

 private:
  friend class NewFile;
  void check(FileOperation operation, const std::filesystem::path& path) const;
  Fault fault_;
};

// A file that did not exist before. It is whole and durable once finish() has returned; destroyed earlier it stays as it is.
class NewFile {
 public:
  NewFile(const FileIo& io, std::filesystem::path path);
  ~NewFile();
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  void write(std::span<const std::byte> bytes);
  void finish();  // fsync and close

 private:
  const FileIo& io_;
  std::filesystem::path path_;
  int descriptor_ = -1;
};

}  // namespace lacuna
