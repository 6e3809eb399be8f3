// A token corpus as another program might store it; a test changes one thing on the way.
#pragma once
#include <hdf5.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "data/sha256.h"

namespace lacuna::testing {

struct ForeignCorpus {
  hid_t tokens_type = H5T_STD_U16LE;
  int64_t chunk = 0;
  std::function<void(hid_t creation)> change_storage = [](hid_t) {};
  std::vector<uint16_t> tokens = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3};
  std::vector<uint64_t> documents = {0, 4};
  int64_t claimed = 10;
  int64_t version = 1, vocabulary = 10;
  std::string kind = "tokens", hash = "";
  std::function<void(hid_t file)> change_file = [](hid_t) {};

  std::filesystem::path make(const std::filesystem::path& folder) const {
    const auto path = folder / "foreign.h5";
    const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    const auto claimed_size = static_cast<hsize_t>(claimed), chunk_size = static_cast<hsize_t>(chunk);
    if (chunk > 0) H5Pset_chunk(creation, 1, &chunk_size);
    change_storage(creation);
    const hid_t space = H5Screate_simple(1, &claimed_size, nullptr);
    const hid_t dataset = H5Dcreate2(file, "tokens", tokens_type, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    if (claimed == static_cast<int64_t>(tokens.size())) {
      H5Dwrite(dataset, H5T_NATIVE_UINT16, H5S_ALL, H5S_ALL, H5P_DEFAULT, tokens.data());
    }
    const auto num_documents = static_cast<hsize_t>(documents.size());
    const hid_t starts_space = H5Screate_simple(1, &num_documents, nullptr);
    const hid_t starts = H5Dcreate2(file, "documents", H5T_STD_U64LE, starts_space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    H5Dwrite(starts, H5T_NATIVE_UINT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, documents.data());
    const hid_t scalar = H5Screate(H5S_SCALAR);
    const auto integer = [&](const char* name, int64_t value) {
      const hid_t attribute = H5Acreate2(file, name, H5T_STD_I32BE, scalar, H5P_DEFAULT, H5P_DEFAULT);
      H5Awrite(attribute, H5T_NATIVE_INT64, &value);
      H5Aclose(attribute);
    };
    const hid_t string = H5Tcopy(H5T_C_S1);
    H5Tset_size(string, H5T_VARIABLE);  // as h5py writes them
    const auto text = [&](const char* name, const std::string& value) {
      const char* stored = value.c_str();
      const hid_t attribute = H5Acreate2(file, name, string, scalar, H5P_DEFAULT, H5P_DEFAULT);
      H5Awrite(attribute, string, &stored);
      H5Aclose(attribute);
    };
    integer("format_version", version);
    integer("vocabulary_size", vocabulary);
    integer("bytes", 10);
    text("kind", kind);
    text("tokenizer", "none");
    Sha256 sha;
    sha.update(tokens.data(), tokens.size() * sizeof(uint16_t));
    sha.update(documents.data(), documents.size() * sizeof(uint64_t));
    text("content_hash", hash.empty() ? sha.hex() : hash);
    for (const hid_t id : {dataset, starts}) H5Dclose(id);
    for (const hid_t id : {space, starts_space, scalar}) H5Sclose(id);
    change_file(file);
    H5Tclose(string);
    H5Pclose(creation);
    H5Fclose(file);
    return path;
  }
};

}  // namespace lacuna::testing
