#include "launch/start_from.h"

#include "data/tokenizer/tokenizer.h"
#include "trainer/adopted_weights.h"
#include "trainer/checkpoint/checkpoints.h"

namespace lacuna {

std::optional<Checkpoint> open_origin(const Experiment& e, const SampleSpec& samples, Communicator& world) {
  if (e.run.start_from.empty()) return std::nullopt;
  auto origin = open_together(e.run.start_from, world);
  const auto kept = sample_spec_of(origin);
  const auto saved = kept.tokenizer;
  if (!saved != !samples.tokenizer || kept.frames.bins != samples.frames.bins ||
      kept.frames.channels != samples.frames.channels) {
    throw e.run_section.error("start_from", origin.folder().string() + " was trained on other samples than data.train's: texts, or "
                                            "frames of another size");
  }
  if (saved && saved->name() + saved->serialize() != samples.tokenizer->name() + samples.tokenizer->serialize()) {
    throw e.run_section.error("start_from", origin.folder().string() +
                                                " was trained with another tokenizer than data.train's; prepare the corpora with its");
  }
  return origin;
}

void begin_from(const Checkpoint& origin, FlatStorage& storage, Mesh& mesh, Screen& screen) {
  const auto adopted = adopt_weights(origin, storage, mesh);
  screen.note("begins with the weights of " + origin.folder().string());
  const auto list = [&](const std::string& what, const std::vector<std::string>& names) {
    if (names.empty()) return;
    std::string text = what;
    for (size_t i = 0; i < names.size(); ++i) text += (i == 0 ? ": " : ", ") + names[i];
    screen.note(text);
  };
  list("rows that it lacks have initial values", adopted.rows_added);
  list("parameters of one objective alone, not taken", adopted.left_out);
}

}  // namespace lacuna
