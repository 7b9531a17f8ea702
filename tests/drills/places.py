"""Where a lake is: a folder, or a bucket of SeaweedFS that a drill starts itself."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import seaweed
from pyarrow import fs
from seaweed import Seaweed


class Folder:
    """A lake in a folder."""

    def __init__(self, path: Path):
        self.path, self.url = path, str(path)
        self.env: dict[str, str] = {}

    def names(self) -> list[str]:
        """Returns the path of each file in the lake."""
        return sorted(str(path.relative_to(self.path)) for path in self.path.rglob("*") if path.is_file())

    def files(self) -> Path:
        """Returns a folder that has the lake's files as they are now."""
        return self.path


class Bucket:
    """A lake under a prefix of a bucket. `env` has the variables by which programs find the store."""

    def __init__(self, url: str, env: dict[str, str], copy: Path):
        self.url, self.env, self.copy = url, env, copy
        self.base = url.removeprefix("s3://")
        self.store = seaweed.file_system({**os.environ, **env})

    def names(self) -> list[str]:
        """Returns the path of each object in the lake."""
        listed = self.store.get_file_info(fs.FileSelector(self.base, recursive=True, allow_not_found=True))
        return sorted(info.path.removeprefix(f"{self.base}/") for info in listed if info.is_file)

    def files(self) -> Path:
        """Copies the lake's objects to a folder and returns it."""
        shutil.rmtree(self.copy, ignore_errors=True)
        for name in self.names():
            path = self.copy / name
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with self.store.open_input_stream(f"{self.base}/{name}") as object:
                    path.write_bytes(object.read())
            except FileNotFoundError:
                continue  # The object was deleted while the others were copied.
        return self.copy


class Store:
    """An object store in which each run has a lake of its own."""

    def __init__(self, url: str, env: dict[str, str]):
        self.url, self.env = url, env

    def bucket(self, name: str, folder: Path) -> Bucket:
        """Returns an empty lake. Copies of its objects are kept in the folder."""
        return Bucket(f"{self.url}/{name}", self.env, folder / "copy")


@contextmanager
def store(folder: Path, seed: int) -> Iterator[Store]:
    """Yields the store that TRIBUTARY_S3 names, or a SeaweedFS that ends afterwards. Raises `Skipped` without both."""
    if root := os.environ.get("TRIBUTARY_S3"):
        yield Store(f"{root.rstrip('/')}/drill-{seed}-{os.getpid()}", {})
        return
    server = Seaweed(folder).start()
    try:
        yield Store(f"s3://{seaweed.BUCKET}", server.env)
    finally:
        server.end()
