#include "data/tasks/multitask.h"

#include "data/tasks/families.h"

namespace lacuna {

uint64_t MultitaskTask::num_turns() const { return families().size() * kTemplates; }

Example MultitaskTask::make(Draw draw) const {
  std::vector<const Family*> all;
  for (const auto& family : families()) {
    if (draw.split == Split::test || !family.held_out) all.push_back(&family);
  }
  const auto& family = *all[draw.turn % all.size()];
  const size_t wording = draw.turn / all.size() % kTemplates;
  const auto question = family.draw(draw.size, draw.random);
  Example e{.context = worded(family.templates[wording], question.inputs), .answer = " " + question.answer};
  e.choices = {e.answer};
  for (const auto& wrong : question.wrong) e.choices.push_back(" " + wrong);
  e.slices = {{"family", std::string(family.name)},
              {"template", std::to_string(wording)},
              {"kind", family.held_out ? "held_out" : "seen"}};
  shuffle_choices(e, draw.random);
  return e;
}

}  // namespace lacuna
