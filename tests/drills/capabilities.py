"""What the binary can do. A drill asks here once, and skips a part that the binary has no command or column for."""

import functools
import json
import signal
import tempfile
from pathlib import Path

import client
import processes

_ORDER = {"order_id": "o1", "customer_id": "c1", "ordered_at": "2026-03-01T09:00:00Z", "status": "completed", "currency": "USD", "revenue": "1.00"}

# Named by `--no-skip`: a part that cannot run is a failure then, so that a feature cannot vanish unseen.
is_all_required = False
_said: set[str] = set()


def wants(feature: str, has: bool, without: str) -> bool:
    """Returns whether a part that needs a feature is to run. Says once that it is skipped."""
    if has or is_all_required:
        return True
    if feature not in _said:
        _said.add(feature)
        print(f"  skipped: {without} (this binary has no {feature})", flush=True)
    return False


def _has_help(*command: str) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        return processes.run(folder, *command, "--help").returncode == 0


@functools.cache
def has_vacuum() -> bool:
    return _has_help("vacuum")


@functools.cache
def has_fsck() -> bool:
    return _has_help("fsck")


@functools.cache
def has_land_again() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        return "--again" in processes.run(folder, "land", "--help").stdout


@functools.cache
def has_as_of() -> bool:
    """Whether the tables have the column `source_updated_at`."""
    with tempfile.TemporaryDirectory() as folder:
        question = "select count(source_updated_at) from orders"
        return _land(folder).returncode == 0 and processes.run(f"{folder}/lake", "sql", "--store", client.STORE, "-c", question).returncode == 0


@functools.cache
def has_named_receipts() -> bool:
    """Whether a receipt says `already_landed`."""
    with tempfile.TemporaryDirectory() as folder:
        _land(folder)
        return json.loads(_land(folder).stdout or "{}").get("already_landed") is True


@functools.cache
def has_key_conflicts() -> bool:
    """Whether another body under a known `Idempotency-Key` is refused."""
    with tempfile.TemporaryDirectory() as folder:
        with processes.Server(f"{folder}/lake", Path(folder, "log")) as server:
            client.land(server, "orders", [_ORDER], key="k")
            return client.land(server, "orders", [_ORDER | {"revenue": "2.00"}], key="k").status == 422


@functools.cache
def has_failpoints() -> bool:
    """Whether `TRIBUTARY_CRASH_AT` ends a process at a named point."""
    with tempfile.TemporaryDirectory() as folder:
        return _land(folder, TRIBUTARY_CRASH_AT="before-commit").returncode == -signal.SIGABRT


def _land(folder: str, **env: str):
    path = Path(folder, "orders.ndjson")
    path.write_bytes(client.ndjson([_ORDER]))
    return processes.run(f"{folder}/lake", "land", "orders", str(path), "--store", client.STORE, env=env)
