// The only file that includes cudnn_frontend: it takes a minute to compile.
#include "trainer/kernels/attention_cuda.h"

#include <cudnn_frontend.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "data/error.h"
#include "trainer/kernels/cuda_check.h"

namespace lacuna::cuda {
namespace {

namespace fe = cudnn_frontend;
using fe::graph::Tensor_attributes;
using TensorHandle = std::shared_ptr<Tensor_attributes>;

enum Id : int64_t { kQuery = 1, kKey, kValue, kOut, kLogSums, kOutGradient, kQueryGradient, kKeyGradient, kValueGradient };
using Pointers = std::unordered_map<int64_t, void*>;

void check(cudnnStatus_t status, const char* what) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  throw Error(ExitCode::internal, std::string("cuDNN: ") + what + " failed with " + cudnnGetErrorString(status));
}

int64_t stride_of(const AttentionShape& s) { return s.stride == 0 ? (s.num_heads + 2 * s.num_kv_heads) * s.head_size : s.stride; }

// What cuDNN is not asked for at all.
std::string refuse(const AttentionShape& s) {
  if (s.mask == AttentionMask::prefix) return "cuDNN's fused attention has no prefix mask";
  // Its variable lengths want the number of documents as the batch size, which changes from batch to batch, and graphs and plans
  // are for fixed shapes.
  if (s.mask == AttentionMask::document) return "cuDNN's fused attention has no mask of documents within rows of a fixed length";
  if (s.window != 0 && s.mask != AttentionMask::causal) return "a sliding window goes with a causal mask alone";
  if (s.batch < 1 || s.length < 1 || s.num_heads < 1 || s.num_kv_heads < 1 || s.head_size < 1 || s.window < 0) {
    return "attention needs at least one row, position and head";
  }
  if (s.num_heads % s.num_kv_heads != 0) return "the number of key and value heads does not divide the number of query heads";
  if (s.head_size % 8 != 0 || s.head_size > 256) return "cuDNN's fused attention wants a head size of 8, 16, ..., 256";
  if (stride_of(s) % 8 != 0 || stride_of(s) < (s.num_heads + 2 * s.num_kv_heads) * s.head_size) {
    return "the packed buffer's stride must hold all heads and be a multiple of 8";
  }
  return "";
}

// (B, heads, T, d) within rows of `stride` elements.
TensorHandle strided(fe::graph::Graph& graph, Id id, const AttentionShape& s, int64_t heads, int64_t stride) {
  return graph.tensor(Tensor_attributes()
                          .set_uid(id)
                          .set_dim({s.batch, heads, s.length, s.head_size})
                          .set_stride({s.length * stride, s.head_size, stride, 1}));
}

void write_strided(const TensorHandle& tensor, Id id, const AttentionShape& s, int64_t heads, int64_t stride) {
  tensor->set_output(true)
      .set_uid(id)
      .set_dim({s.batch, heads, s.length, s.head_size})
      .set_stride({s.length * stride, s.head_size, stride, 1});
}

template <typename Attributes>
void describe(Attributes& attributes, const AttentionShape& s) {
  attributes.set_attn_scale(1.0f / std::sqrt(static_cast<float>(s.head_size)));
  if (s.mask != AttentionMask::causal) return;
  attributes.set_diagonal_alignment(fe::DiagonalAlignment_t::TOP_LEFT).set_diagonal_band_right_bound(0);
  // A key is seen where key + bound > query: the bound counts the query's own position.
  if (s.window > 0 && s.window < s.length) attributes.set_diagonal_band_left_bound(static_cast<int>(s.window));
}

std::shared_ptr<fe::graph::Graph> new_graph() {
  auto graph = std::make_shared<fe::graph::Graph>();
  graph->set_io_data_type(fe::DataType_t::BFLOAT16)
      .set_intermediate_data_type(fe::DataType_t::FLOAT)
      .set_compute_data_type(fe::DataType_t::FLOAT);
  return graph;
}

std::shared_ptr<fe::graph::Graph> forward_graph(const AttentionShape& s) {
  auto graph = new_graph();
  const int64_t stride = stride_of(s);
  auto attributes = fe::graph::SDPA_attributes().set_name("attention").set_generate_stats(true);
  describe(attributes, s);
  const auto [out, log_sums] =
      graph->sdpa(strided(*graph, kQuery, s, s.num_heads, stride), strided(*graph, kKey, s, s.num_kv_heads, stride),
                  strided(*graph, kValue, s, s.num_kv_heads, stride), attributes);
  write_strided(out, kOut, s, s.num_heads, s.num_heads * s.head_size);
  log_sums->set_output(true).set_uid(kLogSums).set_data_type(fe::DataType_t::FLOAT);
  log_sums->set_dim({s.batch, s.num_heads, s.length, 1}).set_stride({s.num_heads * s.length, s.length, 1, 1});
  return graph;
}

std::shared_ptr<fe::graph::Graph> backward_graph(const AttentionShape& s) {
  auto graph = new_graph();
  const int64_t stride = stride_of(s), out_stride = s.num_heads * s.head_size;
  auto attributes =
      fe::graph::SDPA_backward_attributes().set_name("attention_backward").set_deterministic_algorithm(s.deterministic);
  describe(attributes, s);
  const auto log_sums = graph->tensor(Tensor_attributes()
                                          .set_uid(kLogSums)
                                          .set_dim({s.batch, s.num_heads, s.length, 1})
                                          .set_stride({s.num_heads * s.length, s.length, 1, 1})
                                          .set_data_type(fe::DataType_t::FLOAT));
  const auto [query, key, value] =
      graph->sdpa_backward(strided(*graph, kQuery, s, s.num_heads, stride), strided(*graph, kKey, s, s.num_kv_heads, stride),
                           strided(*graph, kValue, s, s.num_kv_heads, stride), strided(*graph, kOut, s, s.num_heads, out_stride),
                           strided(*graph, kOutGradient, s, s.num_heads, out_stride), log_sums, attributes);
  write_strided(query, kQueryGradient, s, s.num_heads, stride);
  write_strided(key, kKeyGradient, s, s.num_kv_heads, stride);
  write_strided(value, kValueGradient, s, s.num_kv_heads, stride);
  return graph;
}

void add_packed(Pointers& pointers, const AttentionShape& s, const void* packed, Id query, Id key, Id value) {
  auto* const first = static_cast<char*>(const_cast<void*>(packed));
  pointers[query] = first;
  pointers[key] = first + s.num_heads * s.head_size * size_of(Element::bf16);
  pointers[value] = first + (s.num_heads + s.num_kv_heads) * s.head_size * size_of(Element::bf16);
}

struct Plans {
  std::shared_ptr<fe::graph::Graph> forward, backward;
  int64_t workspace_bytes = 0;
  std::string refusal;
};

}  // namespace

struct Attention::State {
  State() { check(cudnnCreate(&handle), "cudnnCreate"); }
  ~State() {
    plans.clear();
    cudnnDestroy(handle);
  }

  // Builds `graph`, and returns why cuDNN does not, or nothing.
  std::string build(fe::graph::Graph& graph, int64_t& workspace_bytes) {
    auto status = graph.build(handle, {fe::HeurMode_t::A, fe::HeurMode_t::FALLBACK});
    int64_t bytes = 0;
    if (status.is_good()) status = graph.get_workspace_size(bytes);
    workspace_bytes = std::max(workspace_bytes, bytes);
    return status.is_good() ? "" : "cuDNN " + std::to_string(cudnnGetVersion()) + ": " + status.get_message();
  }

  Plans& find(const AttentionShape& shape) {
    const auto found = plans.find(shape);
    if (found != plans.end()) return found->second;
    Plans made;
    made.refusal = refuse(shape);
    try {
      if (made.refusal.empty()) made.refusal = build(*(made.forward = forward_graph(shape)), made.workspace_bytes);
      if (made.refusal.empty()) made.refusal = build(*(made.backward = backward_graph(shape)), made.workspace_bytes);
    } catch (const std::exception& error) {  // the frontend throws where it has no node for the attributes
      made.refusal = std::string("cuDNN: ") + error.what();
    }
    return plans.emplace(shape, std::move(made)).first->second;
  }

  Plans& require(const AttentionShape& shape) {
    auto& found = find(shape);
    if (found.refusal.empty()) return found;
    throw Error(ExitCode::internal, "attention: " + found.refusal + "; ask supports() first and take ATen's attention instead");
  }

  void execute(const fe::graph::Graph& graph, Pointers& pointers, void* workspace, cudaStream_t stream) {
    check(cudnnSetStream(handle, stream), "cudnnSetStream");
    const auto status = graph.execute(handle, pointers, workspace);
    if (status.is_good()) return;
    throw Error(ExitCode::internal, "cuDNN's attention failed: " + status.err_msg);
  }

  std::mutex mutex;  // forward and backward may come from different threads
  cudnnHandle_t handle = nullptr;
  std::map<AttentionShape, Plans> plans;
};

Attention::Attention() : state_(std::make_unique<State>()) {}
Attention::~Attention() = default;

std::string Attention::refusal(const AttentionShape& shape) {
  const std::lock_guard lock(state_->mutex);
  return state_->find(shape).refusal;
}

int64_t Attention::workspace_bytes(const AttentionShape& shape) {
  const std::lock_guard lock(state_->mutex);
  return state_->require(shape).workspace_bytes;
}

void Attention::forward(const AttentionShape& shape, const void* packed, void* out, float* log_sums, void* workspace,
                        cudaStream_t stream) {
  const std::lock_guard lock(state_->mutex);
  Pointers pointers{{kOut, out}, {kLogSums, log_sums}};
  add_packed(pointers, shape, packed, kQuery, kKey, kValue);
  state_->execute(*state_->require(shape).forward, pointers, workspace, stream);
}

void Attention::backward(const AttentionShape& shape, const void* packed, const void* out, const float* log_sums,
                         const void* out_gradient, void* packed_gradient, void* workspace, cudaStream_t stream) {
  const std::lock_guard lock(state_->mutex);
  Pointers pointers{
      {kOut, const_cast<void*>(out)}, {kLogSums, const_cast<float*>(log_sums)}, {kOutGradient, const_cast<void*>(out_gradient)}};
  add_packed(pointers, shape, packed, kQuery, kKey, kValue);
  add_packed(pointers, shape, packed_gradient, kQueryGradient, kKeyGradient, kValueGradient);
  state_->execute(*state_->require(shape).backward, pointers, workspace, stream);
}

int64_t Attention::cudnn_version() const { return static_cast<int64_t>(cudnnGetVersion()); }

Attention& process_attention() {
  static auto* const made = new Attention;  // never destroyed: at the program's end the library may be gone before it
  return *made;
}

}  // namespace lacuna::cuda
