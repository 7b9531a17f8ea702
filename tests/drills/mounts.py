"""File systems of a drill's own: a small one in memory, or an image that can be copied as a power failure would leave it."""

import atexit
import os
import subprocess
from pathlib import Path

from processes import Skipped

_mounted: list[Path] = []


def mount(*arguments: str, at: Path) -> Path:
    """Mounts something on a new folder. Raises `Skipped` if this machine does not let us."""
    if os.geteuid() != 0:
        raise Skipped("mounting a file system needs root")
    at.mkdir(exist_ok=True)
    try:
        done = subprocess.run(["mount", *arguments, str(at)], capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        raise Skipped("there is no `mount`") from None
    if done.returncode != 0:
        raise Skipped(f"mounting does not work here: {done.stderr.strip()}")
    _mounted.append(at)
    return at


def unmount(at: Path) -> None:
    """Unmounts a folder; a process that still uses it keeps it until it ends."""
    if at in _mounted:
        _mounted.remove(at)
        if subprocess.run(["umount", str(at)], capture_output=True, timeout=120).returncode != 0:
            subprocess.run(["umount", "--lazy", str(at)], capture_output=True, timeout=120)


def memory(at: Path, size_bytes: int) -> Path:
    """Mounts a file system of a certain size that is in memory."""
    return mount("-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", at=at)


def make_image(path: Path, size_bytes: int) -> Path:
    """Makes an empty ext4 file system in a file."""
    with open(path, "wb") as file:
        file.truncate(size_bytes)
    try:
        done = subprocess.run(["mkfs.ext4", "-q", "-F", str(path)], capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        raise Skipped("there is no `mkfs.ext4`") from None
    if done.returncode != 0:
        raise Skipped(f"making a file system does not work here: {done.stderr.strip()}")
    return path


def image(path: Path, at: Path) -> Path:
    """Mounts an image. What is not synced stays out of the image for a minute."""
    return mount("-o", "loop,commit=60", str(path), at=at)


@atexit.register
def unmount_all() -> None:
    for at in list(_mounted):
        unmount(at)
