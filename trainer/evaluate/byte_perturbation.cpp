#include "trainer/evaluate/byte_perturbation.h"

#include <array>
#include <numbers>

#include "data/error.h"
#include "data/perturbation.h"
#include "data/tokenizer/tokenizer.h"
#include "trainer/evaluate/answerer.h"
#include "trainer/evaluate/task_evaluation.h"
#include "trainer/evaluate/validation_rows.h"

namespace lacuna {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array kRates{0.05, 0.1, 0.2, 0.3};
constexpr double kReported = 0.1;
constexpr std::array kErrors{Perturbation::swap, Perturbation::replace, Perturbation::remove};

struct Piece {
  std::string context, continuation;
};

std::string without_space_behind(std::string text) {
  text.resize(text.find_last_not_of(" \n\t\r") + 1);
  return text;
}

// Cut at a space, which the continuation keeps, so that no perturbation of the context reaches across. Empty where there is none.
Piece cut(const std::string& text) {
  const auto space = text.find(' ', text.size() / 2);
  if (space == std::string::npos || space == 0) return {};
  const auto context = without_space_behind(text.substr(0, space));
  return {context, context.empty() ? "" : text.substr(context.size())};
}

class Pieces {
 public:
  Pieces(const EvaluationContext& c) : answerer_(c), random_(Random(c.seed, 0).fork("byte_perturbation")) {
    const ValidationRows rows(c);
    const int64_t piece_length = c.tokenizer->name() == "bytes" ? c.length : c.length / 2;
    for (int64_t row = 0; row < rows.size(); ++row) {
      auto tokens = rows.at(row).tokens;
      tokens.resize(std::min(tokens.size(), static_cast<size_t>(piece_length)));
      auto piece = cut(c.tokenizer->decode(tokens));
      if (piece.continuation.empty()) continue;
      bytes_ += static_cast<double>(piece.continuation.size());
      pieces_.push_back(std::move(piece));
    }
    if (pieces_.empty())
      throw data_error("byte_perturbation found no space in the validation rows to cut them at; lengthen batch.sequence_length");
  }

  size_t size() const { return pieces_.size(); }
  double bytes() const { return bytes_; }

  // Bits per byte of the continuations behind contexts that `change` was applied to.
  template <class Change>
  double bits_per_byte(const std::string& label, const Change& change) const {
    std::vector<Asked> asked;
    for (size_t i = 0; i < pieces_.size(); ++i) {
      // White space that a lost word leaves behind would count as the continuation's.
      const auto context = without_space_behind(change(pieces_[i].context, random_.fork(static_cast<uint64_t>(i))));
      asked.push_back(answerer_.ask(context, pieces_[i].continuation));
    }
    double sum = 0;
    for (const auto& said : answerer_.answer(asked, label)) sum -= said.log_probability;
    return sum / std::numbers::ln2 / bytes_;
  }

 private:
  Answerer answerer_;
  Random random_;
  std::vector<Piece> pieces_;
  double bytes_ = 0;
};

}  // namespace

std::optional<std::string> BytePerturbationEvaluation::misfit(const EvaluationPlan& plan) const {
  if (!plan.has_corpora) return "it perturbs held-out text: name a corpus under data.validation or with --corpus";
  return cannot_answer(plan);
}

std::vector<Json> BytePerturbationEvaluation::run(const EvaluationContext& c) const {
  const Pieces pieces(c);
  const double clean = pieces.bits_per_byte("byte_perturbation", [](const std::string& text, const Random&) { return text; });
  const auto delta = [&](Perturbation kind, double rate) {
    return pieces.bits_per_byte("byte_perturbation, " + std::string(name_of(kind)), [&](const std::string& text,
                                                                                        const Random& random) {
      return perturbed(text, kind, rate, random);
    }) - clean;
  };
  Json line{{"task", "byte_perturbation"}, {"bits_per_byte", clean}}, slopes = Json::object(), table = Json::object();
  double sum_of_slopes = 0;
  for (const auto kind : kErrors) {
    const std::string name(name_of(kind));
    double product = 0, square = 0;
    for (const double rate : kRates) {
      const double more = delta(kind, rate);
      product += rate * more;
      square += rate * rate;
      table[Json(rate).dump()]["delta_" + name] = more;
      if (rate == kReported) line["delta_" + name] = more;
    }
    slopes["slope_" + name] = product / square;
    sum_of_slopes += product / square;
  }
  line["delta_capitals"] = delta(Perturbation::capitals, 1);
  line.update(slopes);
  line["slope"] = sum_of_slopes / static_cast<double>(kErrors.size());
  line["rows"] = pieces.size();
  line["bytes"] = pieces.bytes();
  line["slices"] = {{"rate", table}};
  return {line};
}

}  // namespace lacuna
