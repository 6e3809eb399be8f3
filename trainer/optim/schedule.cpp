#include "trainer/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace lacuna {
namespace {

// 0 at `from`, 1 at `to`, clamped.
double progress(double step, double from, double to) { return to > from ? std::clamp((step - from) / (to - from), 0.0, 1.0) : 1.0; }

}  // namespace

double Schedule::factor(int64_t number) const {
  const auto step = static_cast<double>(number), total = static_cast<double>(total_);
  const auto warmup = static_cast<double>(options_.warmup_steps);
  if (step < warmup) return step / warmup;
  const double fall = 1 - options_.final_ratio, start = std::max(warmup, 1.0);
  switch (options_.kind) {
    case ScheduleKind::constant: return 1;
    case ScheduleKind::linear: return 1 - fall * progress(step, start, total);
    case ScheduleKind::cosine: return 1 - fall * 0.5 * (1 - std::cos(std::numbers::pi * progress(step, start, total)));
    case ScheduleKind::inverse_sqrt: return std::sqrt(start / step);
    case ScheduleKind::warmup_stable_decay: return 1 - fall * progress(step, total * (1 - options_.decay_share), total);
  }
  throw std::logic_error("unreachable: a schedule without a case");
}

}  // namespace lacuna
