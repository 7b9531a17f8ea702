"""Runs a command beside a SeaweedFS with an empty bucket, which the environment variable TEST_BUCKET names.

    python in_bucket.py cargo test --workspace --test it -- lake::

The variables AWS_* say how to reach it. Exits with the command's exit code, or with 1 if the command left the bucket empty.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import seaweed
from processes import Failed, Skipped
from pyarrow import fs
from seaweed import BUCKET, Seaweed


def main(command: list[str]) -> int:
    if not command:
        sys.exit(__doc__)
    folder = Path(tempfile.mkdtemp(prefix="tributary-bucket-"))
    try:
        server = Seaweed(folder / "store").start()
        code = subprocess.run(command, env={**os.environ, **server.env, "TEST_BUCKET": f"s3://{BUCKET}"}).returncode
        lakes = seaweed.file_system(server.env).get_file_info(fs.FileSelector(BUCKET))
        server.end()
    except (Failed, Skipped) as error:
        sys.exit(f"{error}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{len(lakes)} lakes were in the bucket")
    return code or int(not lakes)


sys.exit(main(sys.argv[1:]))
