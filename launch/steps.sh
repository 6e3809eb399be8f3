# What the scripts of this folder have in common: how they speak, fail, build and start ranks. Sourced, not run.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${LACUNA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lacuna}
libtorch=$cache/libtorch-2.11.0
program=$root/build/release/bin/lacuna

say() { printf '\n\033[1m==> %s\033[0m\n' "$*"; }
note() { printf '    %s\n' "$*"; }

# fail WHAT [MEND...]: says what went wrong and, line by line, how to mend it.
fail() {
  printf '\n%s: %s\n' "$(basename "$0")" "$1" >&2
  shift
  if (($#)); then printf '  To mend it: %s\n' "$@" >&2; fi
  exit 1
}

# The comment at the head of a script is its help.
print_help() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; }

# Compilers with LibTorch's headers take up to 1.5 GB each; more of them at once than the memory holds would be killed.
num_jobs() {
  local by_memory
  by_memory=$(awk '/MemAvailable/ { print int($2 / 1500000) }' /proc/meminfo)
  local by_cores
  by_cores=$(nproc)
  ((by_memory < 1)) && by_memory=1
  echo $((by_memory < by_cores ? by_memory : by_cores))
}

# build PRESET [TARGET...]: configures quietly, builds with ninja's progress.
build() {
  local preset=$1 began=$SECONDS
  shift
  say "Building preset $preset in build/$preset (the first time takes minutes, then only what changed)"
  mkdir -p "$root/build"
  local log=$root/build/configure-$preset.log
  if ! (cd "$root" && cmake --preset "$preset" -DLACUNA_LIBTORCH="$libtorch") > "$log" 2>&1; then
    tail -n 30 "$log" >&2
    fail "CMake could not configure the preset $preset; the whole output is in $log" \
      "where a library is not found, run launch/setup; where an old cache is in the way, remove build/$preset"
  fi
  grep -E '^-- CUDA:' "$log" | sed 's/^-- /    /' || true
  cmake --build "$root/build/$preset" --parallel "$(num_jobs)" ${1:+--target "$@"} ||
    fail "the build failed; the first error is above" \
      "a compiler that was killed lacked memory: build with fewer jobs, cmake --build build/$preset --parallel 1" \
      "'No space left on device' means just that: free some in $root and run this again"
  note "built in $((SECONDS - began)) s"
}

# Open MPI refuses root unless told twice; a user who is root in a container has already decided.
if [[ $(id -u) == 0 ]]; then
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi

# ranks N COMMAND...: starts N ranks here. Each has several threads, so no rank is bound to a single core. After Ctrl-C a rank
# has four seconds to save, not one.
ranks() {
  local num_ranks=$1
  shift
  mpirun -n "$num_ranks" --bind-to none --oversubscribe --mca odls_base_sigkill_timeout 4 "$@"
}
