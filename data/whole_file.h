// Files that are whole or absent: written under another name, read back, and only then put in their place.
#pragma once
#include <filesystem>
#include <functional>

#include "data/hdf5_file.h"
#include "data/scratch_file.h"
#include "data/sha256.h"

namespace lacuna {

std::filesystem::path folder_of(const std::filesystem::path& path);

// Throws Error(usage) where `path`, named with `option`, is empty, a folder, or there already and not to be replaced.
void check_output(const std::filesystem::path& path, const char* option, bool force);

// `write` makes the file, of about `size` bytes, under the name that it is given; `verify` reads it back and throws an Error
// where it is not what was written (on a full disk HDF5 1.10 closes a file without an error and leaves zeros in it). What stood
// at `path` is replaced. Throws Error(disk) where the disk fails or is full, and leaves nothing behind then.
void write_whole(const std::filesystem::path& path, int64_t size, const std::function<void(const std::filesystem::path&)>& write,
                 const std::function<void(const std::filesystem::path&)>& verify);

// Everything that was appended to `scratch`, into the dataset; also into `hash` unless that is null.
void copy(ScratchFile& scratch, Hdf5Dataset dataset, Sha256* hash);

}  // namespace lacuna
