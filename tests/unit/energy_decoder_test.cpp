// The two streams against one dense attention over both, and who sees whom.
#include "trainer/model/energy_decoder.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <limits>

#include "objectives/next_token.h"
#include "tests/support/energy_network.h"
#include "tests/support/expect_error.h"

namespace lacuna {
namespace {

using testing::EnergyNetwork;
using testing::EnergySize;
using testing::make_energy_network;
using testing::random_batch;
using testing::relative_error;

at::Tensor gradient(const at::Tensor& of, const at::Tensor& by, bool create_graph = false) {
  return torch::autograd::grad({of}, {by}, {}, std::nullopt, create_graph)[0];
}

// The rule of both streams written out: rows [first; tokens; candidates] of one ordinary masked attention.
class Dense {
 public:
  Dense(const EnergyNetwork& network, const EnergyDecoderOptions& options) : n_(network), o_(options) {}

  at::Tensor states(const Batch& batch, const at::Tensor& candidates, const at::Tensor& first) const {
    const int64_t rows = batch.rows(), length = batch.length(), offset = first.defined() ? 1 : 0, slots = offset + 2 * length;
    auto x = at::cat({n_["embedding.weight"].index_select(0, batch.tokens.flatten().to(at::kLong)).view({rows, length, -1}),
                      candidates},
                     1);
    if (first.defined()) x = at::cat({first.expand({rows, 1, -1}), x}, 1);
    auto scores = at::zeros({rows, 1, slots, slots}, x.options());
    auto positions = at::zeros({rows, slots}, at::kLong);
    const auto segment = [&](int64_t b, int64_t t) { return batch.segments.defined() ? batch.segments[b][t].item<int>() : 1; };
    for (int64_t b = 0; b < rows; ++b) {
      for (int64_t q = 0; q < slots; ++q) {
        const bool proposes = q >= offset + length;
        const int64_t at = q - offset - (proposes ? length : 0);  // -1: before the row
        const int64_t position = at < 0 || !batch.positions.defined() ? at : batch.positions[b][at].item<int64_t>();
        positions[b][q] = position + offset + proposes;
        for (int64_t k = 0; k < slots; ++k) {
          const bool of_candidate = k >= offset + length;
          const bool sees = q == k || (!of_candidate && k - offset <= at && (k < offset || segment(b, at) == segment(b, k - offset)));
          if (!sees) scores[b][0][q][k] = -std::numeric_limits<double>::infinity();
        }
      }
    }
    const int64_t head_size = o_.hidden_size / o_.num_heads;
    const auto angles = rotary_angles(positions, head_size, o_.rotary_base);
    for (int64_t i = 0; i < o_.num_layers; ++i) {
      const auto w = [&](const std::string& name) { return n_["block" + std::to_string(i) + "." + name + ".weight"]; };
      const auto h = normed(x, w("attention_norm"));
      const auto heads = [&](const std::string& name) {
        return at::linear(h, w("attention." + name)).view({rows, slots, -1, head_size}).transpose(1, 2);
      };
      const auto q = rotary(heads("query"), angles), k = rotary(heads("key"), angles);
      const auto shares = at::softmax(at::matmul(q, k.transpose(-2, -1)) / std::sqrt(static_cast<double>(head_size)) + scores, -1);
      x = x + at::linear(at::matmul(shares, heads("value")).transpose(1, 2).flatten(2), w("attention.output"));
      const auto m = normed(x, w("feed_forward_norm"));
      x = x + at::linear(at::silu(at::linear(m, w("feed_forward.gate"))) * at::linear(m, w("feed_forward.up")), w("feed_forward.down"));
    }
    return normed(x, n_["final_norm.weight"]).narrow(1, offset + length, length);
  }

 private:
  at::Tensor normed(const at::Tensor& x, const at::Tensor& weight) const {
    return x / (x.pow(2).mean(-1, true) + o_.norm_epsilon).sqrt() * weight;
  }
  const EnergyNetwork& n_;
  EnergyDecoderOptions o_;
};

class TwoStreams : public ::testing::Test {
 protected:
  TwoStreams() { at::manual_seed(3); }
  EnergySize size;
  std::unique_ptr<Mesh> mesh = make_self_mesh();
  std::unique_ptr<EnergyNetwork> network = make_energy_network({}, *mesh, size, at::kDouble);
  Batch batch = random_batch(2, 5, 7);
  at::Tensor candidates = at::randn({2, 5, 8}, at::kDouble).requires_grad_();
  at::Tensor first() { return (*network)["objective.landscapes"][0]; }
  at::Tensor energy(const at::Tensor& states) { return (states * (*network)["objective.energy_head"]).sum(-1); }
};

// Values, and the gradients of a function of the slope.
TEST_F(TwoStreams, AreOneDenseAttentionToTheSecondDerivative) {
  const Dense dense(*network, size.decoder);
  auto documents = batch;
  documents.segments = at::tensor({1, 1, 2, 2, 2, 1, 2, 2, 3, 3}, at::kInt).view({2, 5});
  documents.positions = at::tensor({0, 1, 0, 1, 2, 0, 0, 1, 0, 1}, at::kInt).view({2, 5});
  for (const auto& rows : {batch, documents}) {
    for (const bool with_first : {true, false}) {
      const auto before = with_first ? first() : at::Tensor();
      const auto fast = network->decoder->observe(rows, before)->states(candidates), slow = dense.states(rows, candidates, before);
      EXPECT_LT(relative_error(fast, slow), 1e-6);
      std::vector<std::vector<at::Tensor>> gradients;
      for (const auto& states : {fast, slow}) {
        for (auto& p : network->parameters) p.value.mutable_grad() = at::Tensor();
        candidates.mutable_grad() = at::Tensor();
        gradient(energy(states).sum(), candidates, true).pow(3).sum().backward();
        auto& all = gradients.emplace_back();
        for (auto& p : network->parameters) all.push_back(p.value.grad().defined() ? p.value.grad() : at::zeros_like(p.value));
        all.push_back(candidates.grad());
      }
      for (size_t i = 0; i < gradients[0].size(); ++i) {
        const auto name = i < network->parameters.size() ? network->parameters[i].name : "candidates";
        EXPECT_LT(relative_error(gradients[0][i], gradients[1][i]), 1e-5) << name << (with_first ? ", with first" : "");
      }
    }
  }
}

TEST_F(TwoStreams, ACandidatesEnergyIsItsOwn) {
  const auto e = energy(network->decoder->observe(batch, first())->states(candidates));
  for (int64_t s = 0; s < 5; ++s) {
    const auto by = torch::autograd::grad({e[0][s]}, {candidates}, {}, true)[0];
    for (int64_t other = 0; other < 5; ++other) {
      EXPECT_EQ(by[0][other].abs().max().item<double>() > 0, other == s) << "energy " << s << ", candidate " << other;
    }
    EXPECT_EQ(by[1].abs().max().item<double>(), 0);
  }
}

TEST_F(TwoStreams, ATokenReachesTheEnergiesAtItsPlaceAndBehindIt) {
  const auto base = energy(network->decoder->observe(batch, first())->states(candidates));
  for (int64_t t = 0; t < 5; ++t) {
    auto changed = batch;
    changed.tokens = batch.tokens.clone();
    changed.tokens[0][t] = (changed.tokens[0][t].item<int>() + 1) % 7;
    const auto e = energy(network->decoder->observe(changed, first())->states(candidates));
    for (int64_t s = 0; s < 5; ++s) EXPECT_EQ(!at::equal(e[0][s], base[0][s]), s >= t) << "token " << t << ", energy " << s;
    EXPECT_TRUE(at::equal(e[1], base[1]));
  }
}

TEST_F(TwoStreams, TheLastCandidatesAloneHaveTheSameStates) {
  const auto text = network->decoder->observe(batch, first());
  EXPECT_LT(relative_error(text->states(candidates.narrow(1, 3, 2)), text->states(candidates).narrow(1, 3, 2)), 1e-12);
}

TEST_F(TwoStreams, WithoutCandidatesItIsTheDecoderOfItsShape) {
  const auto energy_decoder = make_energy_network({}, *mesh, size);
  ParameterTable table;
  Decoder decoder({.num_layers = 2,
                   .hidden_size = 8,
                   .num_heads = 2,
                   .num_kv_heads = 2,
                   .feed_forward_size = 8,
                   .norm = NormKind::rms_norm,
                   .norm_epsilon = 1e-6,
                   .position = PositionKind::rotary,
                   .activation = Activation::swiglu,
                   .bias = BiasKind::none,
                   .tied_embedding = false},
                  {.mesh = *mesh, .parameters = table, .vocabulary_size = 7, .max_length = 5, .seed = 1});
  const torch::NoGradGuard no_grad;
  for (auto& p : table.list(decoder)) p.value.copy_((*energy_decoder)[p.name]);
  EXPECT_TRUE(at::equal(energy_decoder->decoder->forward(batch).states, decoder.forward(batch).states));
}

TEST_F(TwoStreams, WhatTheSecondStreamCannotDoIsRefused) {
  ParameterTable table;
  EnergyDecoder decoder(size.decoder, {.mesh = *mesh,
                                       .parameters = table,
                                       .vocabulary_size = 7,
                                       .max_length = 5,
                                       .seed = 1,
                                       .recompute = Recompute::block});
  testing::expect_error(ExitCode::usage, "parallel.recompute does not go", [&] { decoder.observe(batch, {}); });
}

}  // namespace
}  // namespace lacuna
