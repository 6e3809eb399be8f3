#include "data/tasks/dyck.h"

namespace lacuna {
namespace {

constexpr std::string_view kOpening = "([{<", kClosing = ")]}>";

}  // namespace

Example DyckTask::example_of(int64_t size, Random& random) const {
  std::vector<size_t> open;
  std::vector<std::string> text;
  for (int64_t i = 0; i < size; ++i) {
    const bool last = i + 1 == size;  // something must stay open
    const bool opens = open.empty() || (last && open.size() == 1) || random.below(2) == 0;
    if (opens) open.push_back(static_cast<size_t>(random.below(4)));
    text.push_back(std::string(1, opens ? kOpening[open.back()] : kClosing[open.back()]));
    if (!opens) open.pop_back();
  }
  Example e{.context = join(text, " "), .correct = static_cast<int64_t>(open.back())};
  for (const char closing : kClosing) e.choices.push_back(std::string(" ") + closing);
  e.answer = e.choices[open.back()];
  e.slices = {{"depth", std::to_string(open.size())}};
  return e;
}

}  // namespace lacuna
