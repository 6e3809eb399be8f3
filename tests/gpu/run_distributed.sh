#!/usr/bin/env bash
# The tests of NCCL with 2 and with 4 ranks, all on one GPU: run_distributed.sh [FOLDER OF THE PROGRAMS] [ARGUMENTS OF THE TESTS].
# NCCL refuses two ranks on one GPU unless each claims a host of its own; they then speak over the loopback's sockets. That is for
# correctness only: speeds mean nothing here. MPIRUN names the launcher.
set -uo pipefail

readonly kMostSeconds=8  # from a rank's death to the last survivor's report
programs=${1:-build/cuda/bin}
[[ $# == 0 ]] || shift
mpirun=${MPIRUN:-mpirun}
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_mpi_yield_when_idle=1 OMP_NUM_THREADS=1
export NCCL_SOCKET_IFNAME=lo NCCL_IB_DISABLE=1 NCCL_P2P_DISABLE=1 NCCL_SHM_DISABLE=1 NCCL_MAX_CTAS=2 NCCL_DEBUG=${NCCL_DEBUG:-WARN}

if ! ls /dev/nvidia[0-9]* >/dev/null 2>&1 && ! nvidia-smi -L >/dev/null 2>&1; then
  echo "NOT RUN: no CUDA device is here"
  exit 77
fi
if ! command -v "$mpirun" >/dev/null; then
  echo "NOT RUN: $mpirun was not found; name the launcher with MPIRUN"
  exit 77
fi

# job RANKS PROGRAM ARGUMENTS...: every rank a host of its own. When one dies the launcher gives the others time to say why they
# leave; it then takes that time whether they need it or not.
job() {
  local ranks=$1
  shift
  "$mpirun" --oversubscribe --bind-to none --mca odls_base_sigkill_timeout 5 -np "$ranks" \
    bash -c 'NCCL_HOSTID=rank$OMPI_COMM_WORLD_RANK exec "$0" "$@"' "$@"
}

failed=0
for ranks in 2 4; do
  echo "== $ranks ranks: collectives, gradients and curves"
  job $ranks "$programs/gpu_distributed_tests" --ranks=$ranks --gtest_color=no "$@" || failed=1
done

# lost SCENARIO RANKS WORDS SURVIVORS: a job that must end in time, and every survivor's report must say WORDS (an expression)
lost() {
  local scenario=$1 ranks=$2 words=$3 survivors=$4 folder rank seconds
  echo "== $ranks ranks: $scenario"
  folder=$(mktemp -d)
  if job "$ranks" "$programs/gpu_lost_rank" "$scenario" "$folder"; then
    echo "FAILED: $scenario: the job ended well"
    failed=1
  fi
  for ((rank = 0; rank < survivors; ++rank)); do
    if ! grep -q "$words" "$folder/rank-$rank.txt"; then
      echo "FAILED: $scenario: rank $rank does not say: $words"
      failed=1
    elif [[ -e $folder/killed ]]; then
      seconds=$(($(stat -c %Y "$folder/rank-$rank.txt") - $(stat -c %Y "$folder/killed")))
      echo "rank $rank said so $seconds s after the death"
      ((seconds <= kMostSeconds)) || { echo "FAILED: that is more than $kMostSeconds s"; failed=1; }
    fi
  done
  rm -rf "$folder"
}
for ranks in 2 4; do
  lost killed $ranks "NCCL failed on the data axis at rank .* The last collective was all_reduce of 4096 bytes" $((ranks - 1))
done
lost lonely 1 "they did not meet within 3 s. A rank is missing" 1

((failed)) && echo "FAILED" || echo "PASSED: NCCL on one GPU with 2 and 4 ranks"
exit $failed
