#include "trainer/report/phase.h"

#ifdef LACUNA_CUDA
#include <nvtx3/nvToolsExt.h>
#endif

namespace lacuna {

Phase::Phase(const char* name) : record_(at::RecordScope::USER_SCOPE) {
#ifdef LACUNA_CUDA
  nvtxRangePushA(name);
#endif
  if (record_.isActive()) record_.before(name);
}

Phase::~Phase() {
#ifdef LACUNA_CUDA
  nvtxRangePop();
#endif
}

}  // namespace lacuna
