#include "data/hdf5_file.h"

#include <hdf5.h>

#include <algorithm>
#include <mutex>

#include "data/error.h"

namespace lacuna {
namespace {

static_assert(sizeof(hid_t) == sizeof(int64_t), "Hdf5Id holds the identifiers of HDF5 1.10 and later");

constexpr int64_t kMaxChunkBytes = int64_t{64} << 20;
constexpr int64_t kMaxRatio = 1000;  // deflate does not reach more with honest data
constexpr int64_t kMaxTextBytes = 4096;

// Locked while any thread is inside the library; the first call sets the library up.
std::unique_lock<std::recursive_mutex> library() {
  static std::recursive_mutex mutex;
  std::unique_lock lock(mutex);
  static const bool ready = [] {
    H5dont_atexit();  // every identifier is closed by its owner; what a hostile file broke is not touched again at exit
    return H5open() >= 0 && H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr) >= 0 && H5PLset_loading_state(0) >= 0;
  }();
  if (!ready) throw Error(ExitCode::internal, "The HDF5 library cannot be set up.");
  return lock;
}

// What the library says of its latest failure: the innermost message names the cause.
std::string reason() {
  std::string text;
  H5Ewalk2(
      H5E_DEFAULT, H5E_WALK_UPWARD,
      [](unsigned n, const H5E_error2_t* error, void* out) -> herr_t {
        if (n == 0 && error->desc) *static_cast<std::string*>(out) = error->desc;
        return 0;
      },
      &text);
  H5Eclear2(H5E_DEFAULT);
  if (text.empty()) return "";
  std::string said = " (HDF5: " + text + ")";
  if (text.find("lock") != std::string::npos) {
    said += ". Another process may be writing it; where the file system has no locks, set HDF5_USE_FILE_LOCKING=FALSE";
  }
  return said;
}

int64_t checked(int64_t result, const std::string& place, const char* what) {
  if (result < 0) throw data_error(place + ": " + what + reason() + ". The file is damaged or not a corpus: prepare it again.");
  return result;
}

int64_t written(int64_t result, const std::string& place, const char* what) {
  if (result < 0) throw disk_error(place + ": " + what + reason() + ". Is the disk full? Free some space and run again.");
  return result;
}

hid_t stored_type(ElementType type) {
  switch (type) {
    case ElementType::uint8:
      return H5T_STD_U8LE;
    case ElementType::uint16:
      return H5T_STD_U16LE;
    case ElementType::uint32:
      return H5T_STD_U32LE;
    case ElementType::uint64:
      return H5T_STD_U64LE;
    case ElementType::int32:
      return H5T_STD_I32LE;
    case ElementType::float32:
      return H5T_IEEE_F32LE;
  }
  throw Error(ExitCode::internal, "unknown element type");
}

std::string_view name_of(ElementType type) {
  static constexpr std::string_view names[] = {"uint8", "uint16", "uint32", "uint64", "int32", "float32"};
  return names[static_cast<size_t>(type)];
}

herr_t refuse_external_link(const char*, const char*, const char*, const char*, unsigned*, hid_t, void*) { return -1; }

// How a dataset is opened: never through another file, with a cache that holds the largest chunk.
Hdf5Id dataset_access() {
  Hdf5Id access(H5Pcreate(H5P_DATASET_ACCESS), H5Pclose);
  H5Pset_elink_cb(access.get(), refuse_external_link, nullptr);
  H5Pset_chunk_cache(access.get(), 12421, kMaxChunkBytes, 0.75);
  return access;
}

// Throws unless the layout keeps every element in this file, in a form that cannot blow up.
void check_storage(hid_t dataset, hid_t creation, int64_t size, int64_t width, int64_t file_bytes, const std::string& place) {
  const auto refuse = [&](const std::string& why) {
    throw data_error(place + " " + why + ". Such a file is refused; prepare it again.");
  };
  if (H5Pget_external_count(creation) != 0) refuse("keeps its data in another file");
  const H5D_layout_t layout = H5Pget_layout(creation);
  if (layout != H5D_CONTIGUOUS && layout != H5D_CHUNKED && layout != H5D_COMPACT)
    refuse("is virtual: its data lie in other files");
  int deflates = 0;
  const int num_filters = H5Pget_nfilters(creation);
  for (int i = 0; i < num_filters; ++i) {
    unsigned flags = 0, config = 0;
    size_t num_values = 0;
    const H5Z_filter_t filter =
        H5Pget_filter2(creation, static_cast<unsigned>(i), &flags, &num_values, nullptr, 0, nullptr, &config);
    if (filter != H5Z_FILTER_DEFLATE && filter != H5Z_FILTER_SHUFFLE && filter != H5Z_FILTER_FLETCHER32) {
      refuse("is compressed with a filter other than deflate, shuffle and fletcher32");
    }
    deflates += filter == H5Z_FILTER_DEFLATE;
  }
  if (num_filters < 0 || deflates > 1) refuse("is compressed more than once");
  if (layout == H5D_CHUNKED) {
    hsize_t chunk = 0;
    if (H5Pget_chunk(creation, 1, &chunk) != 1 || chunk > static_cast<hsize_t>(kMaxChunkBytes / width))
      refuse("has chunks over 64 MiB");
  }
  if (size == 0) return;
  const auto stored = static_cast<int64_t>(std::min<hsize_t>(H5Dget_storage_size(dataset), INT64_MAX));
  if (stored <= 0 || stored > file_bytes || size > INT64_MAX / kMaxRatio / width || size * width / kMaxRatio > stored) {
    refuse("claims " + std::to_string(size) + " elements but the file stores " + std::to_string(stored) + " bytes of them");
  }
  if (layout != H5D_CHUNKED && stored != size * width) refuse("stores another number of bytes than it has elements");
}

}  // namespace

int64_t bytes_of(ElementType type) {
  static constexpr int64_t widths[] = {1, 2, 4, 8, 4, 4};
  return widths[static_cast<size_t>(type)];
}

int Hdf5Id::reset() {
  int status = 0;
  if (valid()) {
    const auto lock = library();
    status = close_(id_);
    id_ = -1;
  }
  return status;
}

Hdf5File Hdf5File::open(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) {
    throw data_error(path.string() + ": there is no such file. Make a corpus with: lacuna prepare --out " + path.string());
  }
  const auto lock = library();
  Hdf5Id access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_fapl_sec2(access.get());
  H5Pset_fclose_degree(access.get(), H5F_CLOSE_STRONG);
  Hdf5Id id(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.get()), H5Fclose);
  checked(id.get(), path.string(), "not readable as HDF5");
  return {path, std::move(id)};
}

Hdf5File Hdf5File::create(const std::filesystem::path& path) {
  const auto lock = library();
  Hdf5Id access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_fapl_sec2(access.get());
  H5Pset_fclose_degree(access.get(), H5F_CLOSE_STRONG);
  Hdf5Id id(H5Fcreate(path.c_str(), H5F_ACC_EXCL, H5P_DEFAULT, access.get()), H5Fclose);
  written(id.get(), path.string(), "cannot be created");
  return {path, std::move(id)};
}

Hdf5Dataset Hdf5File::dataset(const std::string& name, const std::vector<ElementType>& allowed) const {
  const auto lock = library();
  Hdf5Dataset found;
  found.place_ = path_.string() + ": dataset " + name;
  if (H5Lexists(id_.get(), name.c_str(), H5P_DEFAULT) <= 0) {
    H5Eclear2(H5E_DEFAULT);
    throw data_error(found.place_ + " is missing. data/FORMAT.md lists what a corpus holds; lacuna prepare makes one.");
  }
  H5L_info_t link{};
  checked(H5Lget_info(id_.get(), name.c_str(), &link, H5P_DEFAULT), found.place_, "its link cannot be read");
  if (link.type != H5L_TYPE_HARD)
    throw data_error(found.place_ + " is a link to another place. Store the data in this file instead.");

  found.id_ = Hdf5Id(H5Dopen2(id_.get(), name.c_str(), dataset_access().get()), H5Dclose);
  checked(found.id_.get(), found.place_, "cannot be opened");
  const Hdf5Id type(H5Dget_type(found.id_.get()), H5Tclose);
  const auto match =
      std::find_if(allowed.begin(), allowed.end(), [&](ElementType t) { return H5Tequal(type.get(), stored_type(t)) > 0; });
  if (match == allowed.end()) {
    std::string words;
    for (const ElementType t : allowed) words += (words.empty() ? "" : " or ") + std::string(name_of(t));
    throw data_error(found.place_ + " holds values of another type. Store them as little-endian " + words + ".");
  }
  found.type_ = *match;

  const Hdf5Id space(H5Dget_space(found.id_.get()), H5Sclose);
  hsize_t size = 0;
  if (H5Sget_simple_extent_type(space.get()) != H5S_SIMPLE || H5Sget_simple_extent_ndims(space.get()) != 1 ||
      H5Sget_simple_extent_dims(space.get(), &size, nullptr) != 1 || size > INT64_MAX) {
    throw data_error(found.place_ + " must have one dimension.");
  }
  found.size_ = static_cast<int64_t>(size);

  const Hdf5Id creation(H5Dget_create_plist(found.id_.get()), H5Pclose);
  checked(creation.get(), found.place_, "its layout cannot be read");
  const auto file_bytes = static_cast<int64_t>(std::filesystem::file_size(path_));
  const int64_t width = bytes_of(found.type_);
  check_storage(found.id_.get(), creation.get(), found.size_, width, file_bytes, found.place_);
  if (found.size_ > 0 && H5Pget_layout(creation.get()) == H5D_CONTIGUOUS) {
    const haddr_t offset = H5Dget_offset(found.id_.get());
    if (offset > static_cast<haddr_t>(file_bytes) || found.size_ * width > file_bytes - static_cast<int64_t>(offset)) {
      throw data_error(found.place_ + " reaches past the end of the file: it was cut short. Copy or prepare it again.");
    }
    found.offset_ = static_cast<int64_t>(offset);
  }
  return found;
}

Hdf5Id Hdf5File::open_attribute(const std::string& attribute) const {
  const std::string place = path_.string() + ": attribute " + attribute;
  if (H5Aexists(id_.get(), attribute.c_str()) <= 0) {
    H5Eclear2(H5E_DEFAULT);
    throw data_error(place + " is missing. data/FORMAT.md lists what a corpus holds; lacuna prepare makes one.");
  }
  Hdf5Id id(H5Aopen(id_.get(), attribute.c_str(), H5P_DEFAULT), H5Aclose);
  checked(id.get(), place, "cannot be opened");
  const Hdf5Id space(H5Aget_space(id.get()), H5Sclose);
  if (H5Sget_simple_extent_npoints(space.get()) != 1) throw data_error(place + " must be a single value.");
  return id;
}

int64_t Hdf5File::integer(const std::string& attribute) const {
  const auto lock = library();
  const std::string place = path_.string() + ": attribute " + attribute;
  const Hdf5Id id = open_attribute(attribute);
  const Hdf5Id type(H5Aget_type(id.get()), H5Tclose);
  if (H5Tget_class(type.get()) != H5T_INTEGER || H5Tget_size(type.get()) > 8) throw data_error(place + " must be an integer.");
  int64_t value = 0;
  checked(H5Aread(id.get(), H5T_NATIVE_INT64, &value), place, "cannot be read");
  return value;
}

double Hdf5File::number(const std::string& attribute) const {
  const auto lock = library();
  const std::string place = path_.string() + ": attribute " + attribute;
  const Hdf5Id id = open_attribute(attribute);
  const Hdf5Id type(H5Aget_type(id.get()), H5Tclose);
  if (H5Tget_class(type.get()) != H5T_FLOAT || H5Tget_size(type.get()) > 8) throw data_error(place + " must be a number.");
  double value = 0;
  checked(H5Aread(id.get(), H5T_NATIVE_DOUBLE, &value), place, "cannot be read");
  return value;
}

std::string Hdf5File::text(const std::string& attribute) const {
  const auto lock = library();
  const std::string place = path_.string() + ": attribute " + attribute;
  const Hdf5Id id = open_attribute(attribute);
  const Hdf5Id type(H5Aget_type(id.get()), H5Tclose);
  const auto size = static_cast<int64_t>(std::min<size_t>(H5Tget_size(type.get()), INT64_MAX));
  if (H5Tget_class(type.get()) != H5T_STRING || size > kMaxTextBytes) throw data_error(place + " must be a short text.");
  if (H5Tis_variable_str(type.get()) > 0) {
    char* stored = nullptr;
    checked(H5Aread(id.get(), type.get(), &stored), place, "cannot be read");
    const std::string value = stored ? stored : "";
    H5free_memory(stored);
    if (static_cast<int64_t>(value.size()) > kMaxTextBytes) throw data_error(place + " must be a short text.");
    return value;
  }
  std::string value(static_cast<size_t>(size), '\0');
  checked(H5Aread(id.get(), type.get(), value.data()), place, "cannot be read");
  return value.substr(0, value.find('\0'));
}

Hdf5Dataset Hdf5File::create_dataset(const std::string& name, ElementType type, int64_t size) {
  const auto lock = library();
  Hdf5Dataset made;
  made.place_ = path_.string() + ": dataset " + name;
  made.type_ = type;
  made.size_ = size;
  const auto dimension = static_cast<hsize_t>(size);
  const Hdf5Id space(H5Screate_simple(1, &dimension, nullptr), H5Sclose);
  const Hdf5Id creation(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_layout(creation.get(), H5D_CONTIGUOUS);
  H5Pset_alloc_time(creation.get(), H5D_ALLOC_TIME_EARLY);
  H5Pset_fill_time(creation.get(), H5D_FILL_TIME_NEVER);
  made.id_ = Hdf5Id(H5Dcreate2(id_.get(), name.c_str(), stored_type(type), space.get(), H5P_DEFAULT, creation.get(), H5P_DEFAULT),
                    H5Dclose);
  written(made.id_.get(), made.place_, "cannot be created");
  return made;
}

void Hdf5File::set_integer(const std::string& attribute, int64_t value) {
  set_scalar(attribute, H5T_STD_I64LE, H5T_NATIVE_INT64, &value);
}

void Hdf5File::set_number(const std::string& attribute, double value) {
  set_scalar(attribute, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, &value);
}

void Hdf5File::set_scalar(const std::string& attribute, int64_t stored, int64_t given, const void* value) {
  const auto lock = library();
  const std::string place = path_.string() + ": attribute " + attribute;
  const Hdf5Id space(H5Screate(H5S_SCALAR), H5Sclose);
  const Hdf5Id id(H5Acreate2(id_.get(), attribute.c_str(), stored, space.get(), H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  written(id.get(), place, "cannot be created");
  written(H5Awrite(id.get(), given, value), place, "cannot be written");
}

void Hdf5File::set_text(const std::string& attribute, const std::string& value) {
  const auto lock = library();
  const std::string place = path_.string() + ": attribute " + attribute;
  const Hdf5Id space(H5Screate(H5S_SCALAR), H5Sclose);
  const Hdf5Id type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type.get(), value.size() + 1);
  H5Tset_cset(type.get(), H5T_CSET_UTF8);
  const Hdf5Id id(H5Acreate2(id_.get(), attribute.c_str(), type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  written(id.get(), place, "cannot be created");
  written(H5Awrite(id.get(), type.get(), value.c_str()), place, "cannot be written");
}

void Hdf5File::close() {
  const auto lock = library();
  written(H5Fflush(id_.get(), H5F_SCOPE_GLOBAL), path_.string(), "cannot be flushed");
  written(id_.reset(), path_.string(), "cannot be closed");
}

Hdf5Id Hdf5Dataset::selection(int64_t first, int64_t count) const {
  if (first < 0 || count < 0 || count > size_ || first > size_ - count) {
    throw Error(ExitCode::internal, place_ + ": elements " + std::to_string(first) + " to " + std::to_string(first + count) +
                                        " of " + std::to_string(size_) + " were asked for.");
  }
  Hdf5Id space(H5Dget_space(id_.get()), H5Sclose);
  const auto start = static_cast<hsize_t>(first), length = static_cast<hsize_t>(count);
  checked(H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, &start, nullptr, &length, nullptr), place_, "cannot be addressed");
  return space;
}

void Hdf5Dataset::read(int64_t first, int64_t count, void* values) const {
  const auto lock = library();
  const Hdf5Id file_space = selection(first, count);
  const auto length = static_cast<hsize_t>(count);
  const Hdf5Id memory_space(H5Screate_simple(1, &length, nullptr), H5Sclose);
  checked(H5Dread(id_.get(), stored_type(type_), memory_space.get(), file_space.get(), H5P_DEFAULT, values), place_,
          "cannot be read");
}

void Hdf5Dataset::write(int64_t first, int64_t count, const void* values) {
  const auto lock = library();
  const Hdf5Id file_space = selection(first, count);
  const auto length = static_cast<hsize_t>(count);
  const Hdf5Id memory_space(H5Screate_simple(1, &length, nullptr), H5Sclose);
  written(H5Dwrite(id_.get(), stored_type(type_), memory_space.get(), file_space.get(), H5P_DEFAULT, values), place_,
          "cannot be written");
}

}  // namespace lacuna
