#!/usr/bin/env bash
# One job over two hosts: two network namespaces with host names, temporary folders and a veth cable of their own, and a "remote
# shell" that enters them. Passes if (1) the losses are those of the same job on one host, and went over the cable, and
# (2) a cut cable ends the job within 15 s and leaves no process on either side.
# Everything lives in namespaces of this script, so that the kernel removes it however the script ends, and other runs on the
# same machine do not meet it. Needs root, or user namespaces. LACUNA names the program; MPIRUN the launcher.
set -euo pipefail

readonly kMostSeconds=15
lacuna=$(realpath "${LACUNA:?set LACUNA to the program, such as build/release/bin/lacuna}")
mpirun=${MPIRUN:-mpirun}
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMP_NUM_THREADS=1

not_run() {
  echo "NOT RUN: two_hosts: $1"
  exit 77
}
fail() {
  echo "FAILED: two_hosts: $1"
  [[ -z ${2:-} ]] || tail -n 40 "$2"
  exit 1
}

# ---- outside: make the namespaces, or say why not, and run this script in them ----
if [[ ${1:-} != --inside ]]; then
  for tool in unshare nsenter ip; do
    command -v $tool >/dev/null || not_run "$tool is missing; install util-linux and iproute2"
  done
  own=(--mount --net --pid --uts --fork --mount-proc --kill-child)
  [[ $(id -u) == 0 ]] || own=(--user --map-root-user "${own[@]}")
  probe='mount -t tmpfs tmpfs /run && ip netns add n0 && ip link add v0 netns n0 type veth peer name v1'
  why=$(unshare "${own[@]}" bash -c "$probe" 2>&1) || not_run "this machine does not let us make network namespaces: $why"
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  code=0
  SCRATCH=$scratch unshare "${own[@]}" bash "$(realpath "$0")" --inside || code=$?
  exit $code
fi

# ---- inside ----
cd "$SCRATCH"
mount -t tmpfs tmpfs /run  # where `ip netns` keeps its names
ip netns add n0
ip netns add n1
ip link add v0 netns n0 type veth peer name v1 netns n1
for i in 0 1; do
  mkdir n$i
  ip -n n$i addr add 10.9.0.$((i + 1))/24 dev v$i
  ip -n n$i link set lo up
  ip -n n$i link set v$i up
done
{ echo '127.0.0.1 localhost'; echo '10.9.0.1 n0'; echo '10.9.0.2 n1'; } >hosts
mount --bind hosts /etc/hosts

# on HOST COMMAND...: as if one had logged in there
on() {
  local host=$1
  shift
  TMPDIR=$SCRATCH/$host nsenter --net=/run/netns/$host unshare --uts bash -c 'hostname "$0"; exec "$@"' "$host" "$@"
}
cat >remote_shell <<'END'
#!/usr/bin/env bash
while [[ $1 == -* ]]; do shift; done
export TMPDIR=$SCRATCH/$1
exec nsenter --net=/run/netns/$1 unshare --uts bash -c "hostname $1; ${*:2}"
END
chmod +x remote_shell

# Keep-alive finds a dead link in about 11 s; the watchdog of the ranks must be slower than that.
two_hosts=(-H n0:2,n1:2 --mca plm_rsh_agent "$SCRATCH/remote_shell" --mca btl tcp,self
           --mca oob_tcp_if_include 10.9.0.0/24 --mca btl_tcp_if_include 10.9.0.0/24
           --mca oob_tcp_keepalive_time 5 --mca oob_tcp_keepalive_intvl 2 --mca oob_tcp_keepalive_probes 3)
# train NAME STEPS LAUNCHER_OPTIONS...
train() {
  on n0 timeout -k 5 120 "$mpirun" -np 4 --oversubscribe --bind-to none --mca mpi_yield_when_idle 1 "${@:3}" \
    "$lacuna" train config.toml --set run.name="$1" --set run.steps="$2"
}
link_bytes() { nsenter --net=/run/netns/n0 awk '$1 == "v0:" { print $2 + $10 }' /proc/self/net/dev; }
survivors() {
  awk -v program="$(basename "$lacuna" | cut -c 1-15)" '{ gsub(/[()]/, "", $2) }
    $3 != "Z" && ($2 == program || $2 == "orted" || $2 ~ /^mpi(run|exec)/) { print $2, $1 }' /proc/[0-9]*/stat 2>/dev/null || true
}

awk 'BEGIN { srand(7); for (line = 0; line < 4000; ++line) {
  for (word = 0; word < 8; ++word) { text = ""; n = 2 + int(rand() * 5)
    for (i = 0; i < n; ++i) text = text substr("etaoinshrdlu", 1 + int(12 * rand() * rand()), 1)
    printf "%s ", text }
  print "" } }' >text.txt
"$lacuna" prepare --text text.txt --tokenizer bytes --documents line --out corpus.h5 >prepare.log 2>&1 \
  || fail "prepare" prepare.log
cat >config.toml <<'END'
[run]
seed = 3
steps = 20
device = "cpu"
threads = 1
watchdog = 30
[data]
train = ["corpus.h5"]
[batch]
global_size = 8
sequence_length = 64
[objective]
kind = "next_token"
[architecture]
kind = "decoder"
num_layers = 2
hidden_size = 64
num_heads = 4
num_kv_heads = 4
feed_forward_size = 256
[parallel]
tensor = 2
[checkpoint]
every = 0
[evaluate]
every = 0
END

echo "two_hosts: 20 steps on one host, then on two"
train one 20 >one.log 2>&1 || fail "the job on one host" one.log
before=$(link_bytes)
train two 20 "${two_hosts[@]}" >two.log 2>&1 || fail "the job on two hosts" two.log
crossed=$(($(link_bytes) - before))
((crossed > 1000000)) || fail "only $crossed bytes crossed the cable: the ranks did not use it"
python3 - <<'END' || fail "the losses differ"
import json
def losses(name):
    events = [json.loads(line) for line in open(f"runs/{name}/metrics.jsonl")]
    return [e["loss"] for e in events if e["event"] == "step"]
one, two = losses("one"), losses("two")
worst = max(abs(a - b) / abs(a) for a, b in zip(one, two))
print(f"two_hosts: {len(one)} and {len(two)} losses, worst relative difference {worst:.1e}")
assert len(one) == len(two) == 20 and worst <= 1e-5
END

echo "two_hosts: cutting the cable of a running job"
train cut 1000000 "${two_hosts[@]}" >cut.log 2>&1 &
job=$!
for ((i = 0; i < 600; ++i)); do
  kill -0 $job 2>/dev/null || fail "the job ended before the cut" cut.log
  [[ -f runs/cut/metrics.jsonl ]] && (($(grep -c '"step"' runs/cut/metrics.jsonl) >= 10)) && break
  sleep 0.1
done
((i < 600)) || fail "no ten steps in 60 s" cut.log
start=${EPOCHREALTIME/./}
ip -n n1 link set v1 down
code=0
wait $job || code=$?
while [[ -n $(survivors) ]] && ((${EPOCHREALTIME/./} - start < kMostSeconds * 1000000)); do sleep 0.1; done
milliseconds=$(((${EPOCHREALTIME/./} - start) / 1000))
echo "two_hosts: $milliseconds ms after the cut the job is gone with code $code"
((code != 0)) || fail "the job ended with code 0" cut.log
left=$(survivors)
[[ -z $left ]] || fail "left behind: $left" cut.log
((milliseconds <= kMostSeconds * 1000)) || fail "the job took longer than $kMostSeconds s to end" cut.log
echo "two_hosts: passed; $crossed bytes crossed the cable"
