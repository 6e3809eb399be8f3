// What every objective owes on every architecture that can carry it. The pairs come from the catalogs, so a new line there is held
// to this contract the moment it is added: by unit/contract_test.cpp on the CPU, by gpu/contract_test.cpp on a device.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "objectives/catalog.h"
#include "trainer/model/catalog.h"
#include "trainer/model/flat_storage.h"

namespace lacuna::testing {

// Where a network stands and how it computes.
struct Place {
  const char* name;
  at::Device device = at::kCPU;
  at::ScalarType compute = at::kFloat;
  bool fused = false;  // blocks as single nodes of kernels
};

struct Pair {
  const ObjectiveEntry* objective;
  const ArchitectureEntry* architecture;
  Section section;     // of the architecture, with the keys that make the pair fit
  std::string reason;  // why it does not fit; empty where it does
  std::string variant = "";  // of the architecture, which the section makes of it; empty where it is as it comes
};

constexpr int64_t kTokenizerSize = 61, kLength = 16, kRows = 4;

// The keys that every architecture takes.
Section tiny_architecture();
// As `lacuna inspect --catalog` finds the keys beside those given: the default first, then each other visibility.
Pair try_pair(const ObjectiveEntry& objective, const ArchitectureEntry& architecture, const Section& keys = tiny_architecture());
// Of the catalogs, and of those variants of an architecture that differ from it in more than sizes.
std::vector<Pair> fitting_pairs();

// One network with its objective, as a training run of one rank has them. Batches stay on the host until the network reads them.
class ContractRun {
 public:
  ContractRun(const Pair& pair, const Place& place);

  std::vector<Sample> samples() const;
  Batch prepare(const std::vector<Sample>& samples) const;
  Batch batch() const { return prepare(samples()); }
  // The mean loss; the gradient of the sum is in the storage.
  double backward(const Batch& batch);
  // The mean loss alone.
  double loss(const Batch& batch);
  // (B, T, D) on the host, in evaluation.
  at::Tensor states(const Batch& batch);

  const Pair& pair;
  const Place& place;
  std::unique_ptr<Mesh> mesh = make_self_mesh();
  ParameterTable table;
  std::unique_ptr<Objective> objective;
  std::unique_ptr<Architecture> architecture;
  std::vector<ParameterSpec> parameters;
  std::unique_ptr<FlatStorage> storage;
  int64_t vocabulary_size = 0;
};

struct Clause {
  const char* name;
  void (*holds)(ContractRun& run);  // GoogleTest expectations
};
std::span<const Clause> contract();

// A test's parameter: one clause for one pair.
struct ContractCase {
  Clause clause;
  Pair pair;
  Place place;
  std::string name() const;  // such as next_token_on_decoder_SameSeedSameBits
};
std::vector<ContractCase> contract_cases(std::span<const Place> places);

}  // namespace lacuna::testing
