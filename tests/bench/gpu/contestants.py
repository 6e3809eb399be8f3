"""Programs that stay alive between their turns, so that start-up and compilation are paid once.

A `Stepper` trains on and on; outside its turns it is stopped with SIGSTOP, right after a step, and its device memory stays where
it is. A `Server` waits for the next command by itself. Both answer `window(seconds)` with the rate of that turn. A Stepper's
rate is taken from the times at which its steps were told, whatever its own clock says; what was under way when it was resumed
does not count.
"""
import contextlib
import json
import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import threading
import time

SETTLE = 0.5  # seconds at the start of each turn that do not count
TURN_LIMIT = 240  # seconds after which a turn or a start has failed


class Gone(Exception):
    """A contestant that could not start or ended; the message says why."""


class Contestant:
    def __init__(self, name, command, folder, tokens_per_step, environment=None, warmup=6):
        self.name, self.command, self.tokens_per_step, self.warmup = name, [str(c) for c in command], tokens_per_step, warmup
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = self.folder / "output.log"
        self.environment = dict(os.environ, **(environment or {}))
        self.process = None

    def spawn(self, **streams):
        if not os.path.exists(self.command[0]):
            raise Gone(f"{self.command[0]} is not there")
        self.began = time.time()
        self.process = subprocess.Popen(self.command, env=self.environment, cwd=self.folder, start_new_session=True, **streams)

    def failure(self, what):
        lines = [l for l in re.split(r"[\r\n]+", self.log.read_text(errors="replace")) if l.strip()] if self.log.exists() else []
        return Gone(f"{what}: {' / '.join(lines[-3:])[-400:]}")

    def close(self):
        if self.process is None or self.process.poll() is not None:
            return
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGKILL)
        self.process.wait()

    def signal(self, number):
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself, which wait() and answer() tell
            os.killpg(self.process.pid, number)


class Stepper(Contestant):
    """Tells of each step on its standard output in a line that matches `pattern`."""

    def __init__(self, *arguments, pattern=None, **options):
        super().__init__(*arguments, **options)
        self.pattern, self.marks, self.told = re.compile(pattern or ""), [], threading.Condition()

    def start(self):
        self.launch()
        self.wait(self.warmup, self.began + TURN_LIMIT)
        self.pause()
        return self.marks[0] - self.began

    def launch(self):
        primary, secondary = pty.openpty()  # a terminal, so that lines are not held back
        self.spawn(stdin=subprocess.DEVNULL, stdout=secondary, stderr=secondary)
        os.close(secondary)
        threading.Thread(target=self.listen, args=(primary,), daemon=True).start()

    def listen(self, primary):
        rest = b""
        with self.log.open("wb", buffering=0) as log:
            while True:
                try:
                    chunk = os.read(primary, 65536)
                except OSError:  # a terminal whose last writer has gone
                    chunk = b""
                now = time.time()
                if not chunk:
                    break
                log.write(chunk)
                *lines, rest = (rest + chunk).split(b"\n")
                self.mark(now, sum(1 for l in lines if self.pattern.search(l.decode(errors="replace"))))
        os.close(primary)

    def mark(self, now, count):
        if count:
            with self.told:
                self.marks += [now] * count
                self.told.notify_all()

    def wait(self, count, deadline):
        """Until `count` steps have been told in all."""
        with self.told:
            while len(self.marks) < count:
                if self.process.poll() is not None:
                    time.sleep(0.2)
                    raise self.failure(f"ended with code {self.process.returncode}")
                if time.time() > deadline:
                    raise self.failure(f"told of {len(self.marks)} steps in {TURN_LIMIT} s")
                self.told.wait(0.2)

    def pause(self):
        self.signal(signal.SIGSTOP)

    def window(self, seconds):
        resumed = time.time()
        deadline, first = resumed + TURN_LIMIT, len(self.marks)
        self.signal(signal.SIGCONT)
        try:
            self.wait(first + 1, deadline)
            while self.marks[-1] < resumed + SETTLE:
                self.wait(len(self.marks) + 1, deadline)
            base = len(self.marks) - 1
            while self.marks[-1] < self.marks[base] + seconds:
                self.wait(len(self.marks) + 1, deadline)
        finally:
            self.pause()
        begin, end, steps = self.marks[base], self.marks[-1], len(self.marks) - 1 - base
        return {"begin": begin, "end": end, "steps": steps, "milliseconds": 1000 * (end - begin) / steps,
                "tokens_per_second": steps * self.tokens_per_step / (end - begin)}


class Lacuna(Stepper):
    """Tells of its steps in metrics.jsonl."""

    def __init__(self, *arguments, metrics, **options):
        super().__init__(*arguments, **options)
        self.metrics = pathlib.Path(metrics)

    def launch(self):
        self.spawn(stdin=subprocess.DEVNULL, stdout=self.log.open("wb"), stderr=subprocess.STDOUT)
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while not self.metrics.exists():
            if self.process.poll() is not None:
                return
            time.sleep(0.001)
        with self.metrics.open("rb", buffering=0) as file:
            while self.process.poll() is None:
                chunk = file.read(1 << 20)
                self.mark(time.time(), chunk.count(b'"event":"step"'))
                if not chunk:
                    time.sleep(0.0005)

    def until(self, step):
        """Seconds from the start of the process until `step` was told."""
        self.launch()
        self.wait(step, self.began + TURN_LIMIT)
        return self.marks[step - 1] - self.began


class Server(Contestant):
    """Answers `window SECONDS` on its standard input with a line of JSON."""

    def start(self):
        self.launch()
        return self.answer(2 * TURN_LIMIT)["seconds"]

    def launch(self):
        self.spawn(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log.open("wb"))

    def until(self, step):
        """Seconds from the start of the process until the end of `step`, as the program tells them."""
        self.command += ["--until", str(step)]
        self.launch()
        return self.answer(TURN_LIMIT)["seconds"]

    def answer(self, limit):
        ready, _, _ = select.select([self.process.stdout], [], [], limit)
        line = self.process.stdout.readline() if ready else b""
        try:
            return json.loads(line)
        except ValueError:
            raise self.failure(f"no answer in {limit} s" if not ready else "ended") from None

    def window(self, seconds):
        try:
            self.process.stdin.write(f"window {seconds}\n".encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            raise self.failure("ended") from None
        return self.answer(TURN_LIMIT)
