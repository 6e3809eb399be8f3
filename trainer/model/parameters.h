// Every parameter of a network, declared once with all that the rest of the engine must know about it.
#pragma once
#include <torch/nn/module.h>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace lacuna {

enum class InitialValues { zeros, ones, normal, constant };

// How an optimizer treats a parameter that is unlike the others.
struct UpdateRule {
  double rate = 1;                                            // times the learning rate
  double minimum = -std::numeric_limits<double>::infinity();  // no update leaves it below
  bool operator==(const UpdateRule&) const = default;
};

struct ParameterSpec {
  std::string name;                 // full path in the module tree, such as "blocks.3.attention.query_key_value.weight"
  std::vector<int64_t> full_shape;  // of the whole tensor over the tensor axis
  // The dim that is split over the tensor axis; -1 = every tensor rank holds it whole.
  int64_t partition_dim = -1;
  InitialValues initial = InitialValues::normal;
  double deviation = 0.02;          // of normal initial values; of constant ones the value
  UpdateRule rule = {};
  bool is_table = false;            // a row an id or a position: another network of the family may have more rows or fewer
  bool whole_gradient = false;      // every tensor rank computes the gradient of all positions, although the stream is split
  at::Tensor value;                 // this rank's slice; after FlatStorage took it, a view into the flat buffer
  // The fp32 masters that this rank keeps of it, from FlatStorage on: of its elements from `begin` on. None where `value` is fp32.
  struct Masters {
    at::Tensor values;
    int64_t begin;
  };
  std::vector<Masters> masters;

  bool decays() const { return full_shape.size() >= 2; }
};

// Filled by modules as they register their parameters; a parameter's name is known once the tree stands.
class ParameterTable {
 public:
  // Registers `name` at `module` and remembers how it is laid out and initialised. `full_shape[partition_dim]` is divided by
  // `parts`. The tensor's memory is not touched.
  at::Tensor declare(torch::nn::Module& module, const std::string& name, std::vector<int64_t> full_shape, int64_t partition_dim,
                     int64_t parts, InitialValues initial, double deviation = 0.02, UpdateRule rule = {});
  // A table (rows, width) that is looked up by row, normal at first. Its rows are divided by `parts`; 0 = every tensor rank holds all.
  at::Tensor declare_table(torch::nn::Module& module, const std::string& name, int64_t rows, int64_t width, int64_t parts = 0);
  // The parameters of `root`, named, in the order of their declarations: what one product reads side by side is declared so.
  std::vector<ParameterSpec> list(const torch::nn::Module& root) const;

 private:
  std::vector<ParameterSpec> specs_;
};

// Sets masters and values. Those of the whole tensor depend on (seed, name) alone; each rank computes just its slice.
void initialize(std::vector<ParameterSpec>& parameters, uint64_t seed, int tensor_rank, int tensor_size);

}  // namespace lacuna
