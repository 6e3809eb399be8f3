"""Training over NCCL, all ranks on one GPU (run_distributed.sh says how): the program's curves under every layout, kills and resumes.

LACUNA names the program. For correctness only: speeds mean nothing here.
"""
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "end_to_end"))
import lacuna_runs  # noqa: E402
from lacuna_runs import expect_close_losses, expect_same_metrics, main  # noqa: E402

lacuna_runs.RANK_PREFIX += ["bash", "-c", 'NCCL_HOSTID=rank$OMPI_COMM_WORLD_RANK exec "$0" "$@"']
lacuna_runs.ENVIRONMENT.update(NCCL_SOCKET_IFNAME="lo", NCCL_IB_DISABLE="1", NCCL_P2P_DISABLE="1", NCCL_SHM_DISABLE="1",
                               NCCL_MAX_CTAS="2")
BF16_ROUNDING = 1e-2  # relative: what another order of summation may change in 12 steps
GPU = {"run": {"device": "cuda", "steps": 12}, "architecture": {"hidden_size": 64, "feed_forward_size": 128}}
BF16 = {**GPU, "precision": {"compute": "bf16"}}
SHARDED = {"parallel": {"shard_optimizer": True}}
SPLIT = {"parallel": {"tensor": 2}}


def recorded_bf16_layouts(runs):
    runs.train("alone", **BF16)
    reference, worst = runs.losses("alone"), 0.0
    for name, changes in (("data", {}), ("sharded", SHARDED), ("split", SPLIT)):
        runs.train(name, ranks=2, **BF16, **changes)
        worst = max(worst, expect_close_losses(reference, runs.losses(name), name, BF16_ROUNDING))
    return f"worst relative difference {worst:.1e}"


def killed_and_resumed(runs):
    """kill -9 after step 6; under run.deterministic the rest is the same, bit for bit."""
    settings = {**BF16, "run": {**BF16["run"], "steps": 16, "deterministic": True}, "checkpoint": {"every": 4}, **SHARDED}
    runs.train("whole", ranks=2, **settings)
    config = runs.config("broken", **settings)
    job = runs.start("train", config, ranks=2)
    runs.wait_for_step(job, "broken", 6)
    job.kill()
    left = max(runs.losses("broken"))
    runs.expect(0, "train", config, "--resume", ranks=2)
    expect_same_metrics(runs.metrics("whole"), runs.metrics("broken"), "after a kill")
    config = runs.config("moved", **settings)
    runs.expect(75, "train", config, "--set", "run.stop_after=8", ranks=2)
    runs.expect(0, "train", config, "--resume", "--set", "parallel.tensor=2", ranks=2)
    expect_close_losses(runs.losses("whole"), runs.losses("moved"), "2x1 sharded, then 1x2", BF16_ROUNDING)
    return f"killed after step {left}"


if __name__ == "__main__":
    if subprocess.run(["nvidia-smi", "-L"], capture_output=True, check=False).returncode != 0:
        print("NOT RUN: no CUDA device is here")
        sys.exit(77)
    main(recorded_bf16_layouts, killed_and_resumed)
