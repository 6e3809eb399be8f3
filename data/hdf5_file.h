// HDF5 files with one-dimensional datasets and scalar attributes: the only caller of the HDF5 C API.
//
// A file is hostile until its checks have passed. Refused: links that are not hard, data kept in other files (external or
// virtual datasets), filters other than one pass of deflate with shuffle and fletcher32, chunks over 64 MiB, and datasets that
// claim far more data than the file stores. Plugins, which are code, are never loaded. Failures to read throw Error(data),
// failures to write Error(disk), each naming the file and the dataset or attribute.
//
// The library is not thread-safe: every call here runs under one lock of the process.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace lacuna {

// Values as stored, little-endian.
enum class ElementType { uint8, uint16, uint32, uint64, int32, float32 };
int64_t bytes_of(ElementType type);

// Owns one identifier of the library.
class Hdf5Id {
 public:
  using Close = int (*)(int64_t);
  Hdf5Id() = default;
  Hdf5Id(int64_t id, Close close) : id_(id), close_(close) {}
  Hdf5Id(Hdf5Id&& other) noexcept { *this = std::move(other); }
  Hdf5Id& operator=(Hdf5Id&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  ~Hdf5Id() { reset(); }
  int reset();  // the library's status
  int64_t get() const { return id_; }
  bool valid() const { return id_ >= 0; }

 private:
  int64_t id_ = -1;
  Close close_ = nullptr;
};

class Hdf5Dataset {
 public:
  int64_t size() const { return size_; }  // elements
  ElementType type() const { return type_; }
  // Where the elements lie in the file, in bytes, if they are one plain run.
  std::optional<int64_t> offset() const { return offset_; }
  // `values` holds `count` elements of type().
  void read(int64_t first, int64_t count, void* values) const;
  void write(int64_t first, int64_t count, const void* values);

 private:
  friend class Hdf5File;
  Hdf5Id selection(int64_t first, int64_t count) const;
  std::string place_;  // for messages: "FILE: dataset NAME"
  Hdf5Id id_;
  ElementType type_ = ElementType::uint8;
  int64_t size_ = 0;
  std::optional<int64_t> offset_;
};

class Hdf5File {
 public:
  static Hdf5File open(const std::filesystem::path& path);    // read-only
  static Hdf5File create(const std::filesystem::path& path);  // refuses to replace a file

  // One dimension, an element type out of `allowed`.
  Hdf5Dataset dataset(const std::string& name, const std::vector<ElementType>& allowed) const;
  int64_t integer(const std::string& attribute) const;
  double number(const std::string& attribute) const;
  std::string text(const std::string& attribute) const;  // at most 4096 bytes

  // Contiguous, its space taken at once.
  Hdf5Dataset create_dataset(const std::string& name, ElementType type, int64_t size);
  void set_integer(const std::string& attribute, int64_t value);
  void set_number(const std::string& attribute, double value);
  void set_text(const std::string& attribute, const std::string& value);
  void close();  // after writing; datasets must be gone. On a full disk this may succeed, so the caller reads back.

 private:
  Hdf5File(std::filesystem::path path, Hdf5Id id) : path_(std::move(path)), id_(std::move(id)) {}
  void set_scalar(const std::string& attribute, int64_t stored_type, int64_t given_type, const void* value);
  Hdf5Id open_attribute(const std::string& attribute) const;
  std::filesystem::path path_;
  Hdf5Id id_;
};

}  // namespace lacuna
