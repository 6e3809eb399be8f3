// A decoder with its parameters at hand, small enough to be tried in every way.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "trainer/model/decoder.h"

namespace lacuna::testing {

// The parameter of that name; throws where there is none.
at::Tensor find_parameter(const std::vector<ParameterSpec>& parameters, const std::string& name);
// Values are drawn anew, large enough that every parameter matters: biases and norms are no longer their neutral selves.
// They depend on the seed and on names, not on the mesh.
void draw_large_values(const std::vector<ParameterSpec>& parameters, Mesh& mesh, uint64_t seed);

struct Network {
  ParameterTable table;
  std::unique_ptr<Decoder> decoder;
  std::vector<ParameterSpec> parameters;

  at::Tensor operator[](const std::string& name) const { return find_parameter(parameters, name); }
  // Sets every gradient to zeros, which makes the kernels add to it in place, as they do in training.
  void keep_gradients();
};

struct Execution {
  const Operations& operations = kernel_operations();
  bool fused = false;
  Recompute recompute = Recompute::none;
};
// With large values.
std::unique_ptr<Network> make_network(const DecoderOptions& options, Mesh& mesh, int64_t vocabulary_size, int64_t max_length,
                                      uint64_t seed = 7, const Execution& execution = {});

// Two layers, hidden size 32, 4 heads.
DecoderOptions gpt2_shape();   // learned positions, layer norm, gelu_tanh, biases, tied
DecoderOptions llama_shape();  // rotary positions, RMS norm, swiglu, 2 key and value heads, untied, no bias

// Rows of tokens and targets drawn from the vocabulary, all weights 1.
Batch random_batch(int64_t rows, int64_t length, int64_t vocabulary_size, uint64_t seed = 1);

// The slice of a full tensor that a rank of the tensor axis holds.
at::Tensor slice_of(const at::Tensor& full, const ParameterSpec& parameter, int rank, int size);

// |actual - expected| / |expected|, in Euclidean norms; the plain norm of the difference where expected is zero.
double relative_error(const at::Tensor& actual, const at::Tensor& expected);

}  // namespace lacuna::testing
