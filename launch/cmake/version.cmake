# cmake -DSOURCE=... -DOUT=... -P version.cmake: a source file with the commit in it, rewritten only where that has changed.
execute_process(COMMAND git -C ${SOURCE} describe --always --dirty=+ --abbrev=10 --exclude=*
                OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed)
  set(commit unknown)
endif()
file(CONFIGURE OUTPUT ${OUT} @ONLY CONTENT [[
#include "launch/version.h"
namespace lacuna {
std::string code_commit() { return "@commit@"; }
}  // namespace lacuna
]])
