// A small network of any architecture on bytes, ready to be judged: its values are large enough that answers differ.
#pragma once
#include <torch/types.h>

#include <memory>
#include <string>

#include "data/synthetic_corpus.h"
#include "data/tokenizer/bytes.h"
#include "objectives/next_token.h"
#include "trainer/evaluate/evaluation.h"
#include "trainer/model/catalog.h"
#include "trainer/model/flat_storage.h"

namespace lacuna::testing {

struct JudgedNetwork {
  static constexpr int64_t kLength = 48, kVocabulary = 257;

  // `uniform`: every value 0, so that all tokens are equally likely.
  JudgedNetwork(const Section& section, std::unique_ptr<Mesh> own_mesh, bool uniform = false) : mesh(std::move(own_mesh)) {
    network = find_architecture(section).make(
        section, {.mesh = *mesh, .parameters = table, .vocabulary_size = kVocabulary, .max_length = kLength, .seed = 3});
    auto parameters = table.list(*network);
    for (auto& p : parameters) {
      p.deviation = 0.3;
      p.initial = InitialValues::normal;
    }
    initialize(parameters, 3, mesh->tensor().rank(), mesh->tensor().size());
    const torch::NoGradGuard no_grad;
    for (auto& p : parameters) {
      if (uniform) p.value.zero_();
    }
    corpora.push_back(
        std::make_shared<SyntheticCorpus>(SyntheticOptions{.vocabulary_size = kVocabulary, .window = kLength + 1, .size = 20}));
  }

  EvaluationContext context() {
    return {.objective = objective,
            .architecture = *network,
            .mesh = *mesh,
            .corpora = corpora,
            .rows = 10,
            .micro_size = 3,
            .seed = 1,
            .tokenizer = tokenizer,
            .length = kLength,
            .options = options};
  }

  std::unique_ptr<Mesh> mesh;
  ParameterTable table;
  std::unique_ptr<Architecture> network;
  std::shared_ptr<const Tokenizer> tokenizer = std::make_shared<BytesTokenizer>();
  NextToken objective{{}, {.length = kLength, .tokenizer_size = kVocabulary, .end_token = kVocabulary - 1}};
  std::vector<std::shared_ptr<const Corpus>> corpora;
  EvaluateOptions options;
};

inline Section small_architecture(const std::string& kind, const std::string& visibility = "") {
  const auto section =
      Section().with("kind", '"' + kind + '"').with("num_layers", "2").with("hidden_size", "32").with("num_heads", "4");
  return visibility.empty() ? section : section.with("visibility", '"' + visibility + '"');
}

// One of each way in which a network reads a context.
inline std::vector<Section> writers() {
  return {small_architecture("decoder"), small_architecture("decoder", "prefix"), small_architecture("encoder_decoder"),
          small_architecture("byte_word")};
}

}  // namespace lacuna::testing
