"""What nvidia-smi says, while a benchmark runs, of the first GPU that CUDA_VISIBLE_DEVICES names; of GPU 0 where it names none."""
import os
import shutil
import statistics
import subprocess
import threading
import time

FIELDS = {"sm_mhz": "clocks.sm", "watts": "power.draw", "celsius": "temperature.gpu"}
GPU = "--id=" + (os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0] or "0")


def ask(*arguments):
    if not shutil.which("nvidia-smi"):
        return ""
    return subprocess.run(["nvidia-smi", *arguments], capture_output=True, text=True).stdout.strip()


def identity():
    """Name and driver; empty where there is no GPU."""
    return ask(GPU, "--query-gpu=name,driver_version", "--format=csv,noheader")


def memory_of(pid):
    """Bytes of device memory that a process holds, None where nvidia-smi does not tell."""
    for line in ask("--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits").splitlines():
        of, _, mebibytes = line.partition(",")
        if of.strip() == str(pid) and mebibytes.strip().isdigit():
            return int(mebibytes) * 2**20
    return None


def memory_used():
    """Bytes of the GPU's memory that are taken, by whomever; 0 where there is no GPU."""
    mebibytes = ask(GPU, "--query-gpu=memory.used", "--format=csv,noheader,nounits")
    return int(mebibytes) * 2**20 if mebibytes.isdigit() else 0


def memory_total():
    """Bytes of the GPU's memory; 0 where there is no GPU."""
    mebibytes = ask(GPU, "--query-gpu=memory.total", "--format=csv,noheader,nounits")
    return int(mebibytes) * 2**20 if mebibytes.isdigit() else 0


class Monitor:
    """Reads clock, power and temperature five times a second in a thread of its own; `with Monitor() as m`."""

    def __enter__(self):
        self.samples, self.process = [], None
        if shutil.which("nvidia-smi"):
            fields = "--query-gpu=" + ",".join(FIELDS.values())
            command = ["nvidia-smi", GPU, fields, "--format=csv,noheader,nounits", "-lms", "200"]
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            threading.Thread(target=self.read, daemon=True).start()
        return self

    def __exit__(self, *_):
        if self.process:
            self.process.kill()
            self.process.wait()

    def read(self):
        for line in self.process.stdout:
            try:
                values = [float(v) for v in line.split(",")]
            except ValueError:
                continue  # a field that this GPU does not have
            self.samples.append((time.time(), *values))

    def between(self, begin, end):
        """Medians of the readings within a window; None without readings."""
        inside = [s[1:] for s in self.samples if begin <= s[0] <= end]
        if not inside:
            return dict.fromkeys(FIELDS)
        return {name: statistics.median(values) for name, values in zip(FIELDS, zip(*inside))}
