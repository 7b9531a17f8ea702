"""Processes of Tributary: one command, or a server that runs until it is stopped or killed."""

import atexit
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]

# Names the fault that a program built with `planted-bugs` is to have.
PLANTED = "TRIBUTARY_PLANTED_BUG"
# A drill that does not end is a failure of its own.
COMMAND_TIMEOUT_S = 120
START_TIMEOUT_S = 60
# The exit code of a command that another writer was in the way of.
CONFLICT = 3
ATTEMPTS_AGAINST_A_SERVER = 3

_running: set[subprocess.Popen] = set()


class Failed(Exception):
    """Something that a sound lake does not do. The message says what was seen."""


class Lost(Exception):
    """A request without an answer: the server ended, and the outcome is unknown."""


class Skipped(Exception):
    """A drill, or a part of it, that this machine or this binary cannot run. The message says why."""


def program() -> str:
    """Returns the path of the binary: `TRIBUTARY`, or the debug build."""
    path = Path(os.environ.get("TRIBUTARY") or PROJECT / "target/debug/tributary").resolve()
    if not path.is_file():
        sys.exit(f"{path} is missing: run `cargo build`, or name the binary by the environment variable TRIBUTARY")
    return str(path)


def environment(**more: str) -> dict[str, str]:
    """Returns this process's environment without settings of Tributary but a planted fault, plus `more`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRIBUTARY") or name == PLANTED}
    return {**kept, **more}


def start(command: list[str], log, **options) -> subprocess.Popen:
    """Starts a process that is killed when this one ends, whatever happens. The process writes its errors to `log`."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log, text=True, **options)
    _running.add(process)
    return process


def end(process: subprocess.Popen, how: int = signal.SIGKILL, within_s: float = 60) -> int:
    """Sends a signal to a process and returns its exit code; kills a process that does not end in time."""
    if process.poll() is None:
        process.send_signal(how)
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _running.discard(process)
    if process.stdout:
        process.stdout.close()
    return process.returncode


@atexit.register
def end_all() -> None:
    for process in list(_running):
        end(process)


def run(lake: str, *arguments: str, binary: str | None = None, env: dict[str, str] | None = None, folder: Path | None = None):
    """Runs one command to its end. Returns the completed process with its output as text."""
    command = [binary or program(), "--data", lake, *arguments]
    try:
        return subprocess.run(
            command,
            env=environment(**(env or {})),
            cwd=folder or "/tmp",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(f"`tributary {' '.join(arguments)}` did not end within {COMMAND_TIMEOUT_S} s") from error


def must(lake: str, *arguments: str, env: dict[str, str] | None = None) -> None:
    """Runs a command that has to succeed. It may find a server's own compaction in its way, and is then run again."""
    for _ in range(ATTEMPTS_AGAINST_A_SERVER):
        done = run(lake, *arguments, env=env)
        if done.returncode != CONFLICT:
            break
    if done.returncode != 0 or "panicked" in done.stderr:
        raise Failed(f"`tributary {' '.join(arguments)}` ended with {done.returncode}: {done.stderr.strip()}")


class Server:
    """`tributary serve` on a free port of loopback."""

    def __init__(self, lake: str, log_path: Path, binary: str | None = None, env: dict[str, str] | None = None, prefix: list[str] | None = None):
        self.lake = lake
        self.log_path = log_path
        self.command = [*(prefix or []), binary or program(), "--data", lake, "serve", "--listen", "127.0.0.1:0"]
        self.env = environment(**(env or {}))
        self.process: subprocess.Popen | None = None
        self.port = 0

    def start(self) -> "Server":
        """Starts the server and returns when it listens."""
        with open(self.log_path, "a") as log:
            self.process = start(self.command, log, stdout=subprocess.PIPE, env=self.env, cwd="/tmp")
        until = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < until:
            line = self.process.stdout.readline()
            if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                self.port = int(found[1])
                return self
            if not line:
                break
        code = end(self.process)
        raise Failed(f"the server did not start: exit code {code}; {self.log_tail()}")

    def kill(self) -> None:
        """Ends the server as a crash would: no handler runs."""
        end(self.process, signal.SIGKILL)

    def stop(self) -> int:
        """Asks the server to end and returns its exit code."""
        return end(self.process, signal.SIGTERM)

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def resident_bytes(self) -> int:
        """Returns the memory that the process holds."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024

    def log_tail(self) -> str:
        try:
            return self.log_path.read_text()[-2000:]
        except OSError:
            return ""

    def __enter__(self) -> "Server":
        return self.start()

    def __exit__(self, *_) -> None:
        self.kill()
