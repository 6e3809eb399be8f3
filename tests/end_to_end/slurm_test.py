"""launch/slurm against stand-ins for Slurm and mpirun: the pre-emption signal, requeueing, and what must end the job."""
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import unittest

SOURCE = pathlib.Path(os.environ.get("LACUNA_SOURCE", pathlib.Path(__file__).resolve().parents[2]))

# Writes down how it was called, then leaves with $CODE, or with 75 once USR1 arrives where $CODE is "wait".
LAUNCHER = """#!/usr/bin/env bash
echo "$*" > started
if [[ $CODE != wait ]]; then exit "$CODE"; fi
trap 'sleep 0.2; exit 75' USR1
echo ready
while true; do sleep 0.05; done
"""


class Slurm(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        for name, text in (("bin/mpirun", LAUNCHER), ("bin/srun", LAUNCHER), ("build/release/bin/lacuna", "#!/bin/sh\n"),
                           ("bin/scontrol", "#!/bin/sh\necho \"$*\" > requeued\n")):
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755)

    def start(self, code, **variables):
        environment = dict(os.environ, PATH=f"{self.folder}/bin:{os.environ['PATH']}", CODE=str(code), SLURM_JOB_ID="42",
                           SLURM_SUBMIT_DIR=str(self.folder), SLURM_CPUS_PER_TASK="8", **variables)
        command = ["bash", str(SOURCE / "launch/slurm"), "config.toml", "--set", "run.seed=3"]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def finish(self, job):
        output = job.communicate(timeout=20)[0]
        return job.returncode, output

    def read(self, name):
        path = self.folder / name
        return path.read_text().strip() if path.exists() else None

    def test_a_finished_run_ends_the_job(self):
        code, _ = self.finish(self.start(0))
        self.assertEqual(code, 0)
        self.assertIsNone(self.read("requeued"))
        self.assertIn("train config.toml --set run.seed=3 --set run.threads=8", self.read("started"))
        self.assertIn("oob_tcp_keepalive_time 5", self.read("started"))
        self.assertNotIn("--resume", self.read("started"))

    def test_the_signal_reaches_the_ranks_and_the_job_queues_again(self):
        job = self.start("wait")
        for line in job.stdout:
            if line.strip() == "ready":
                break
        job.send_signal(signal.SIGUSR1)
        code, output = self.finish(job)
        self.assertEqual(code, 0, output)
        self.assertEqual(self.read("requeued"), "requeue 42")
        self.assertIn("saved and stopped on request", output)

    def test_a_restart_resumes(self):
        self.finish(self.start(0, SLURM_RESTART_COUNT="1"))
        self.assertTrue(self.read("started").endswith("--resume"))

    def test_a_lost_link_queues_again_but_a_mistake_does_not(self):
        self.assertEqual(self.finish(self.start(205))[0], 0)
        self.assertEqual(self.read("requeued"), "requeue 42")
        (self.folder / "requeued").unlink()
        code, output = self.finish(self.start(2))
        self.assertEqual(code, 2)
        self.assertIn("ended with code 2", output)
        self.assertIsNone(self.read("requeued"))

    def test_the_number_of_restarts_is_limited(self):
        code, output = self.finish(self.start(75, SLURM_RESTART_COUNT="3", LACUNA_RESTARTS="3"))
        self.assertEqual(code, 75)
        self.assertIn("LACUNA_RESTARTS", output)
        self.assertIsNone(self.read("requeued"))

    def test_network_and_launcher_are_chosen_by_name(self):
        self.finish(self.start(0, LACUNA_NETWORK="10.9.0.0/24"))
        self.assertIn("btl_tcp_if_include 10.9.0.0/24", self.read("started"))
        self.finish(self.start(0, LACUNA_LAUNCHER="srun"))
        self.assertIn("--mpi=pmix", self.read("started"))


if __name__ == "__main__":
    unittest.main()
