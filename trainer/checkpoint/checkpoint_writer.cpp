#include "trainer/checkpoint/checkpoint_writer.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <new>
#include <random>
#include <span>
#include <utility>

#include "trainer/checkpoint/checkpoints.h"

namespace lacuna {
namespace fs = std::filesystem;
namespace {

at::Tensor bytes_tensor(const std::string& text) {
  at::Tensor bytes = at::empty({static_cast<int64_t>(text.size())}, at::TensorOptions().dtype(at::kByte));
  std::ranges::copy(text, static_cast<char*>(bytes.mutable_data_ptr()));  // memcpy minds that an empty tensor has no memory
  return bytes;
}

std::string text_of(const at::Tensor& bytes) { return {static_cast<const char*>(bytes.const_data_ptr()), bytes.nbytes()}; }

// Every rank's text on every rank. Long texts travel one by one, since most ranks have little to say.
std::vector<std::string> gather_text(Communicator& world, const std::string& mine) {
  const at::TensorOptions longs = at::TensorOptions().dtype(at::kLong);
  at::Tensor length = at::empty({1}, longs), lengths = at::empty({world.size()}, longs);
  *length.mutable_data_ptr<int64_t>() = static_cast<int64_t>(mine.size());
  world.all_gather(lengths, length);
  std::vector<std::string> texts;
  for (int rank = 0; rank < world.size(); ++rank) {
    const auto size = static_cast<size_t>(lengths.const_data_ptr<int64_t>()[rank]);
    at::Tensor bytes = bytes_tensor(rank == world.rank() ? mine : std::string(size, '\0'));
    if (size > 0) world.broadcast(bytes, rank);
    texts.push_back(text_of(bytes));
  }
  return texts;
}

// An outcome as text: the exit code's number, a line feed, then the result (code 0) or the message.
std::string encode(ExitCode code, const std::string& text) { return std::to_string(static_cast<int>(code)) + "\n" + text; }

std::string decode(const std::string& outcome) {
  const size_t line = outcome.find('\n');
  const auto code = static_cast<ExitCode>(std::stoi(outcome.substr(0, line)));
  std::string text = outcome.substr(line + 1);
  if (code != ExitCode::ok) throw Error(code, text);
  return text;
}

// The Error that describes the exception being handled.
Error current_error() {
  try {
    throw;
  } catch (const Error& error) {
    return error;
  } catch (const std::bad_alloc&) {
    return {ExitCode::memory, "out of memory while saving a checkpoint"};
  } catch (const std::exception& error) {
    return {ExitCode::internal, error.what()};
  }
}

// Rank 0 does the work; every rank returns its result or throws its Error.
std::string from_rank_0(Communicator& world, const std::function<std::string()>& work) {
  std::string outcome;
  if (world.rank() == 0) {
    try {
      outcome = encode(ExitCode::ok, work());
    } catch (const std::exception&) {
      const Error error = current_error();
      outcome = encode(error.code(), error.what());
    }
  }
  return decode(gather_text(world, outcome).front());
}

std::string nonce() {
  std::random_device source;
  char digits[24];
  std::snprintf(digits, sizeof digits, "%08x%08x", source(), source());
  return digits;
}

}  // namespace

CheckpointWriter::CheckpointWriter(Communicator& world, fs::path folder, int64_t keep, FileIo io)
    : world_(world), folder_(std::move(folder)), keep_(keep), io_(std::move(io)) {
  if (keep_ < 1) throw usage_error("[checkpoint] keep must be at least 1");
  from_rank_0(world_, [&] {
    if (!fs::is_directory(folder_)) {
      io_.make_folder(folder_);
      io_.sync_folder(folder_.has_parent_path() ? folder_.parent_path() : ".");
    }
    remove_leftovers(io_, folder_);
    return std::string();
  });
}

CheckpointWriter::~CheckpointWriter() {
  if (thread_.joinable()) thread_.join();
  if (in_flight_ && world_.rank() == 0) remove_temporary();
}

void CheckpointWriter::remove_temporary() const {
  try {
    io_.remove_tree(temporary_);
  } catch (const Error&) {
    // A first error is under way already and says more; the next job of this run removes what is left.
  }
}

void CheckpointWriter::begin(const std::vector<TensorSlice>& slices, const CheckpointMeta& meta) {
  if (in_flight_) throw Error(ExitCode::internal, "a checkpoint is begun while another is in flight");
  part_ = Manifest{.meta = meta, .tensors = {}, .files = {}};
  at::Tensor bytes = at::empty({1}, at::TensorOptions().dtype(at::kLong));
  *bytes.mutable_data_ptr<int64_t>() = static_cast<int64_t>(copy_to_host(slices));
  world_.all_reduce(bytes, Reduce::sum);
  final_ = folder_ / step_folder_name(meta.step);
  temporary_ = folder_ / from_rank_0(world_, [&] {
                 return make_temporary_folder(static_cast<uint64_t>(*bytes.const_data_ptr<int64_t>()));
               });
  in_flight_ = true;
  failure_.reset();
  if (host_.empty()) return;
  written_ = false;
  thread_ = std::thread([this] { write_part(); });
}

uint64_t CheckpointWriter::copy_to_host(const std::vector<TensorSlice>& slices) {
  const std::string file = "rank-" + std::to_string(world_.rank()) + ".safetensors";
  uint64_t bytes = 0;
  host_.resize(slices.size());
  for (size_t i = 0; i < slices.size(); ++i) {
    const TensorSlice& slice = slices[i];
    std::vector<int64_t> offset(slice.full_shape.size(), 0), shape = slice.full_shape;
    if (slice.partition_dim >= 0) {
      const auto dim = static_cast<size_t>(slice.partition_dim);
      shape.at(dim) /= slice.parts;
      offset.at(dim) = slice.part * shape.at(dim);
    }
    if (slice.value.sizes() != at::IntArrayRef(shape)) {
      throw Error(ExitCode::internal, "the slice of \"" + slice.name + "\" that is to be saved has not the shape of its part");
    }
    at::Tensor& host = host_[i].value;
    if (!host.defined() || host.sizes() != slice.value.sizes() || host.scalar_type() != slice.value.scalar_type()) {
      host = at::empty(shape, at::TensorOptions().dtype(slice.value.scalar_type()));
    }
    host.copy_(slice.value.detach());
    host_[i].name = slice.name;
    bytes += host.nbytes() + 256;  // a line of the header
    part_.tensors[slice.name] = {
        .dtype = std::string(dtype_name(host.scalar_type())), .shape = slice.full_shape, .slices = {{file, offset, shape}}};
  }
  return bytes;
}

std::string CheckpointWriter::make_temporary_folder(uint64_t bytes) {
  if (fs::exists(fs::symlink_status(final_))) {
    throw checkpoint_error(final_.string() + " exists already; move it away before this step is saved again");
  }
  const uint64_t needed = bytes + bytes / 10, left = io_.free_bytes(folder_);
  if (needed > left) {
    throw disk_error("a checkpoint needs " + std::to_string(needed >> 10) + " KiB, but " + folder_.string() + " has " +
                     std::to_string(left >> 10) + " KiB left; free some space, lower checkpoint.keep, or choose another run.out");
  }
  const std::string name = temporary_name(final_.filename().string(), nonce());
  io_.make_folder(folder_ / name);
  return name;
}

void CheckpointWriter::write_part() {
  try {
    const std::string name = "rank-" + std::to_string(world_.rank()) + ".safetensors";
    const FileDigest digest = write_safetensors(io_, temporary_ / name, host_, {{"format", "pt"}});
    part_.files[name] = {.size = digest.size, .sha256 = digest.sha256};
  } catch (const std::exception&) {
    failure_ = current_error();
  }
  written_ = true;
}

std::string CheckpointWriter::outcome() const {
  try {
    if (failure_) throw *failure_;
    return encode(ExitCode::ok, to_json(part_));
  } catch (const std::exception&) {
    const Error error = current_error();
    return encode(error.code(), "rank " + std::to_string(world_.rank()) + ": " + error.what());
  }
}

CommitResult CheckpointWriter::commit() {
  if (!in_flight_) return {};
  if (thread_.joinable()) thread_.join();
  const std::vector<std::string> parts = gather_text(world_, outcome());
  in_flight_ = false;
  CommitResult result{.saved = false, .folder = final_, .failure = {}};
  try {
    const std::string problem = from_rank_0(world_, [&] { return publish(parts); });
    result.saved = true;
    if (!problem.empty()) result.failure = disk_error(final_.string() + " is saved, but " + problem);
  } catch (const Error& error) {
    result.failure = Error(error.code(), final_.string() + " is not saved: " + error.what());
  }
  return result;
}

std::string CheckpointWriter::publish(const std::vector<std::string>& parts) {
  try {
    std::vector<std::string> manifests;
    for (const std::string& part : parts) manifests.push_back(decode(part));
    const std::string json = to_json(merge_parts(manifests));
    io_.write_file(temporary_ / kManifestName, json);
    io_.write_file(temporary_ / kManifestHashName, manifest_hash_line(json));
    io_.sync_folder(temporary_);
    io_.rename(temporary_, final_);
    io_.sync_folder(folder_);
  } catch (...) {
    remove_temporary();
    throw;
  }
  try {
    const fs::path latest = folder_ / temporary_name("LATEST", nonce());
    io_.write_file(latest, final_.filename().string() + "\n");
    io_.rename(latest, folder_ / "LATEST");
    io_.sync_folder(folder_);
    Checkpoint::open(final_, Verify::sizes);
    remove_old_checkpoints(io_, folder_, part_.meta.step, keep_);
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

}  // namespace lacuna
