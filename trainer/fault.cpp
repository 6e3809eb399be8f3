#include "trainer/fault.h"

#include <signal.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <stdexcept>
#include <utility>

#include "data/error.h"

namespace lacuna {
namespace {

constexpr std::array<std::pair<std::string_view, FaultKind>, 6> kKinds{{{"throw", FaultKind::raise},
                                                                        {"exit", FaultKind::leave},
                                                                        {"kill", FaultKind::kill},
                                                                        {"stop", FaultKind::stop},
                                                                        {"nan", FaultKind::not_a_number},
                                                                        {"slow", FaultKind::slow}}};

}  // namespace

Fault::Fault(const std::string& text) {
  if (text.empty()) return;
  const auto at = text.find('@');
  long long step = 0;
  if (at != std::string::npos && std::sscanf(text.c_str() + at, "@%d,%lld", &rank_, &step) == 2) {
    for (const auto& [name, kind] : kKinds) {
      if (text.compare(0, at, name) == 0) kind_ = kind;
    }
  }
  step_ = step;
  if (kind_ == FaultKind::none) {
    throw usage_error("run.fault = \"" + text + "\" is not KIND@RANK,STEP with kind throw, exit, kill, stop, nan or slow");
  }
}

void Fault::strike(int rank, int64_t step) const {
  if (rank != rank_ || step != step_) return;
  switch (kind_) {
    case FaultKind::raise:
      throw std::runtime_error("run.fault asked for this failure");
    case FaultKind::leave:
      ::_exit(3);
    case FaultKind::kill:
      ::raise(SIGKILL);
      break;
    case FaultKind::stop:
      ::raise(SIGSTOP);
      break;
    case FaultKind::slow:
      ::sleep(2);
      break;
    case FaultKind::not_a_number:
    case FaultKind::none:
      break;
  }
}

}  // namespace lacuna
