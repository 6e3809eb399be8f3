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

enum Id : int64_t {
  kQuery = 1,
  kKey,
  kValue,
  kOut,
  kLogSums,
  kOutGradient,
  kQueryGradient,
  kKeyGradient,
  kValueGradient,
  kScores,
  kLengths,
  kKeyLengths,
  kPackedOffsets,
  kOutOffsets,
  kLogSumOffsets
};
using Pointers = std::unordered_map<int64_t, void*>;

void check(cudnnStatus_t status, const char* what) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  throw Error(ExitCode::internal, std::string("cuDNN: ") + what + " failed with " + cudnnGetErrorString(status));
}

int64_t stride_of(const AttentionShape& s) { return s.stride == 0 ? (s.num_heads + 2 * s.num_kv_heads) * s.head_size : s.stride; }

// What cuDNN is not asked for at all.
std::string refuse(const AttentionShape& s) {
  if (s.window != 0 && !s.causal) return "a sliding window goes with a causal mask alone";
  if (s.documents != 0 && s.scores) return "cuDNN's fused attention takes documents or added scores, not both";
  if (s.batch < 1 || s.length < 1 || s.num_heads < 1 || s.num_kv_heads < 1 || s.head_size < 1 || s.window < 0 ||
      s.documents < 0) {
    return "attention needs at least one row, position and head";
  }
  if (s.num_heads % s.num_kv_heads != 0) return "the number of key and value heads does not divide the number of query heads";
  if (s.head_size % 8 != 0 || s.head_size > 256) return "cuDNN's fused attention wants a head size of 8, 16, ..., 256";
  if (stride_of(s) % 8 != 0 || stride_of(s) < (s.num_heads + 2 * s.num_kv_heads) * s.head_size) {
    return "the packed buffer's stride must hold all heads and be a multiple of 8";
  }
  return "";
}

// The tensors of one graph. With documents a graph's batch is their number, each a sequence of its own with a length and a place
// that are read on the device.
class Tensors {
 public:
  Tensors(fe::graph::Graph& graph, const AttentionShape& shape) : graph_(graph), s_(shape) {
    if (s_.documents == 0) return;
    lengths_ = column(kLengths, s_.documents, fe::DataType_t::INT32);
    key_lengths_ = column(kKeyLengths, s_.documents, fe::DataType_t::INT32);
    packed_offsets_ = column(kPackedOffsets, s_.documents + 1, fe::DataType_t::INT64);
    out_offsets_ = column(kOutOffsets, s_.documents + 1, fe::DataType_t::INT64);
    log_sum_offsets_ = column(kLogSumOffsets, s_.documents + 1, fe::DataType_t::INT64);
  }

  TensorHandle packed(Id id, int64_t heads) { return graph_.tensor(placed_packed(Tensor_attributes(), id, heads)); }
  TensorHandle mixed(Id id) { return graph_.tensor(placed_mixed(Tensor_attributes(), id)); }
  TensorHandle log_sums() { return graph_.tensor(placed_log_sums(Tensor_attributes())); }
  void write_packed(const TensorHandle& t, Id id, int64_t heads) { placed_packed(t->set_output(true), id, heads); }
  void write_mixed(const TensorHandle& t, Id id) { placed_mixed(t->set_output(true), id); }
  void write_log_sums(const TensorHandle& t) { placed_log_sums(t->set_output(true)); }

  // The attributes that forward and backward share.
  template <class Attributes>
  void describe(Attributes& attributes) {
    attributes.set_attn_scale(1.0f / std::sqrt(static_cast<float>(s_.head_size)));
    if (s_.documents != 0) attributes.set_padding_mask(true).set_seq_len_q(lengths_).set_seq_len_kv(key_lengths_);
    if (s_.scores) {
      const int64_t row = score_stride(s_.length), all = s_.length * row;
      attributes.set_bias(graph_.tensor(
          Tensor_attributes().set_uid(kScores).set_dim({s_.batch, 1, s_.length, s_.length}).set_stride({all, all, row, 1})));
    }
    if (!s_.causal) return;
    attributes.set_diagonal_alignment(fe::DiagonalAlignment_t::TOP_LEFT).set_diagonal_band_right_bound(0);
    // A key is seen where key + bound > query: the bound counts the query's own position.
    if (s_.window > 0 && s_.window < s_.length) attributes.set_diagonal_band_left_bound(static_cast<int>(s_.window));
  }

 private:
  int64_t sequences() const { return s_.documents == 0 ? s_.batch : s_.documents; }

  TensorHandle column(Id id, int64_t count, fe::DataType_t type) {
    return graph_.tensor(Tensor_attributes().set_uid(id).set_dim({count, 1, 1, 1}).set_stride({1, 1, 1, 1}).set_data_type(type));
  }

  // (sequences, heads, T, d) within rows of `stride` elements.
  Tensor_attributes& placed(Tensor_attributes& t, Id id, int64_t heads, int64_t stride, const TensorHandle& offsets) {
    t.set_uid(id)
        .set_dim({sequences(), heads, s_.length, s_.head_size})
        .set_stride({s_.length * stride, s_.head_size, stride, 1});
    if (offsets) t.set_ragged_offset(offsets);
    return t;
  }
  Tensor_attributes& placed_packed(Tensor_attributes&& t, Id id, int64_t heads) { return placed_packed(t, id, heads); }
  Tensor_attributes& placed_packed(Tensor_attributes& t, Id id, int64_t heads) {
    return placed(t, id, heads, stride_of(s_), packed_offsets_);
  }
  Tensor_attributes& placed_mixed(Tensor_attributes&& t, Id id) { return placed_mixed(t, id); }
  Tensor_attributes& placed_mixed(Tensor_attributes& t, Id id) {
    return placed(t, id, s_.num_heads, s_.num_heads * s_.head_size, out_offsets_);
  }
  Tensor_attributes& placed_log_sums(Tensor_attributes&& t) { return placed_log_sums(t); }
  Tensor_attributes& placed_log_sums(Tensor_attributes& t) {
    t.set_uid(kLogSums).set_data_type(fe::DataType_t::FLOAT).set_dim({sequences(), s_.num_heads, s_.length, 1});
    if (!log_sum_offsets_) return t.set_stride({s_.num_heads * s_.length, s_.length, 1, 1});
    return t.set_stride({s_.num_heads * s_.length, 1, s_.num_heads, 1}).set_ragged_offset(log_sum_offsets_);
  }

  fe::graph::Graph& graph_;
  const AttentionShape& s_;
  TensorHandle lengths_, key_lengths_, packed_offsets_, out_offsets_, log_sum_offsets_;  // of documents alone
};

std::shared_ptr<fe::graph::Graph> new_graph() {
  auto graph = std::make_shared<fe::graph::Graph>();
  graph->set_io_data_type(fe::DataType_t::BFLOAT16)
      .set_intermediate_data_type(fe::DataType_t::FLOAT)
      .set_compute_data_type(fe::DataType_t::FLOAT);
  return graph;
}

std::shared_ptr<fe::graph::Graph> forward_graph(const AttentionShape& s) {
  auto graph = new_graph();
  Tensors tensors(*graph, s);
  auto attributes = fe::graph::SDPA_attributes().set_name("attention").set_generate_stats(true);
  tensors.describe(attributes);
  const auto [out, log_sums] = graph->sdpa(tensors.packed(kQuery, s.num_heads), tensors.packed(kKey, s.num_kv_heads),
                                           tensors.packed(kValue, s.num_kv_heads), attributes);
  tensors.write_mixed(out, kOut);
  tensors.write_log_sums(log_sums);
  return graph;
}

std::shared_ptr<fe::graph::Graph> backward_graph(const AttentionShape& s) {
  auto graph = new_graph();
  Tensors tensors(*graph, s);
  auto attributes =
      fe::graph::SDPA_backward_attributes().set_name("attention_backward").set_deterministic_algorithm(s.deterministic);
  tensors.describe(attributes);
  // Without these the workspace would be that of as many whole rows as there may be documents.
  if (s.documents != 0) attributes.set_max_total_seq_len_q(s.batch * s.length).set_max_total_seq_len_kv(s.batch * s.length);
  const auto [query, key, value] = graph->sdpa_backward(tensors.packed(kQuery, s.num_heads), tensors.packed(kKey, s.num_kv_heads),
                                                        tensors.packed(kValue, s.num_kv_heads), tensors.mixed(kOut),
                                                        tensors.mixed(kOutGradient), tensors.log_sums(), attributes);
  tensors.write_packed(query, kQueryGradient, s.num_heads);
  tensors.write_packed(key, kKeyGradient, s.num_kv_heads);
  tensors.write_packed(value, kValueGradient, s.num_kv_heads);
  return graph;
}

void add_packed(Pointers& pointers, const AttentionShape& s, const void* packed, Id query, Id key, Id value) {
  auto* const first = static_cast<char*>(const_cast<void*>(packed));
  pointers[query] = first;
  pointers[key] = first + s.num_heads * s.head_size * size_of(Element::bf16);
  pointers[value] = first + (s.num_heads + s.num_kv_heads) * s.head_size * size_of(Element::bf16);
}

void add_inputs(Pointers& pointers, const AttentionShape& s, const AttentionInputs& inputs) {
  add_packed(pointers, s, inputs.packed, kQuery, kKey, kValue);
  const auto add = [&](Id id, const void* pointer) { pointers[id] = const_cast<void*>(pointer); };
  if (s.scores) add(kScores, inputs.scores);
  if (s.documents == 0) return;
  add(kLengths, inputs.documents.lengths);
  add(kKeyLengths, inputs.documents.lengths);
  add(kPackedOffsets, inputs.documents.packed);
  add(kOutOffsets, inputs.documents.out);
  add(kLogSumOffsets, inputs.documents.log_sums);
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
    const auto& message = status.get_message();  // where no engine fits, a page of what each of them says: the first line will do
    return status.is_good() ? "" : "cuDNN " + std::to_string(cudnnGetVersion()) + ": " + message.substr(0, message.find('\n'));
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

void Attention::forward(const AttentionShape& shape, const AttentionInputs& inputs, void* out, float* log_sums, void* workspace,
                        cudaStream_t stream) {
  const std::lock_guard lock(state_->mutex);
  Pointers pointers{{kOut, out}, {kLogSums, log_sums}};
  add_inputs(pointers, shape, inputs);
  state_->execute(*state_->require(shape).forward, pointers, workspace, stream);
}

void Attention::backward(const AttentionShape& shape, const AttentionInputs& inputs, const void* out, const float* log_sums,
                         const void* out_gradient, void* packed_gradient, void* workspace, cudaStream_t stream) {
  const std::lock_guard lock(state_->mutex);
  Pointers pointers{
      {kOut, const_cast<void*>(out)}, {kLogSums, const_cast<float*>(log_sums)}, {kOutGradient, const_cast<void*>(out_gradient)}};
  add_inputs(pointers, shape, inputs);
  add_packed(pointers, shape, packed_gradient, kQueryGradient, kKeyGradient, kValueGradient);
  state_->execute(*state_->require(shape).backward, pointers, workspace, stream);
}

int64_t Attention::cudnn_version() const { return static_cast<int64_t>(cudnnGetVersion()); }

Attention& process_attention() {
  static auto* const made = new Attention;  // never destroyed: at the program's end the library may be gone before it
  return *made;
}

}  // namespace lacuna::cuda
