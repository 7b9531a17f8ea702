"""Runs the Python of the pages under docs/connect, as a reader would.

    python guides.py FLIGHT_ADDRESS KEY [POSTGRES_ADDRESS]

KEY stands for the key in them, LAKE for the data folder, and the addresses of `tributary serve`'s documents are those of the server under test.
"""

import ast
import asyncio
import inspect
import os
import pathlib
import re
import sys

PAGES = pathlib.Path(__file__).parent.parent.parent / "docs" / "connect"


def main(flight: str, key: str, postgres: str = "") -> None:
    count = 0
    for page in sorted(PAGES.glob("*.md")):
        names = {"KEY": key, "LAKE": os.environ["TRIBUTARY_STORAGE_DATA"]}
        for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
            code = block.replace("grpc://127.0.0.1:32010", flight)
            if "5433" in code and not postgres:
                continue
            if postgres:
                code = code.replace("127.0.0.1:5433", postgres.split("//")[-1]).replace("5433", postgres.rsplit(":", 1)[1])
            try:
                # Some clients are awaited.
                result = eval(compile(code, str(page), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
                if inspect.iscoroutine(result):
                    asyncio.run(result)
            except Exception as error:
                sys.exit(f"{page.name}: {error!r} in:\n{code}")
            count += 1
    if count < 6:
        sys.exit(f"only {count} pieces of Python were found")
    print(f"{count} pieces of Python on the pages for clients run")


if __name__ == "__main__":
    main(*sys.argv[1:])
