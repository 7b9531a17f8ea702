"""Tributary's part: landing the generated rows, and asking by the command line.

    python tributary.py FOLDER

lands FOLDER/raw in the lake FOLDER/lake, month by month, for compaction needs memory in proportion to what was landed.
"""

import os
import subprocess
import sys
from pathlib import Path

STORE = "peers"

SQL = {
    "start": "select 1",
    "scan": """
        with touches as (
            select
                sum(octet_length(customer_id)), sum(cast(touched_at as bigint) % 1000), sum(octet_length(channel))
            from touchpoints
        ),

        purchases as (
            select
                sum(cast(order_id as bigint)),
                sum(octet_length(customer_id)),
                sum(cast(ordered_at as bigint) % 1000),
                sum(octet_length(status)),
                sum(revenue)
            from orders
        )

        select * from touches cross join purchases""",
    "credit": """
        select
            channel,
            sum(credit) filter (where model = 'first_touch') as first_touch,
            sum(credit) filter (where model = 'last_touch') as last_touch,
            sum(credit) filter (where model = 'linear') as linear,
            sum(credit) filter (where model = 'time_decay') as time_decay,
            sum(credit) filter (where model = 'position_based') as position_based
        from journey_totals(models => 'first_touch,last_touch,linear,time_decay,position_based')
        group by channel""",
    "paths": """
        select path, conversions as orders, revenue
        from journey_paths()
        where touch_count > 0
        order by orders desc, path
        limit 20""",
    "transitions": """
        select source, target, sum(conversions) as transitions
        from journey_transitions()
        where source <> '(start)' or target <> '(conversion)'
        group by source, target""",
}


def program() -> str:
    return os.environ.get("TRIBUTARY", "tributary")


def command(question: str, folder: Path) -> list[str]:
    lake = ["--data", f"{folder}/lake", "--store", STORE, "--threads", "2"]
    return [program(), "sql", *lake, "--format", "csv", "--command", SQL[question]]


def land(folder: Path) -> None:
    where = ["--data", f"{folder}/lake", "--store", STORE]
    for touchpoints in sorted(folder.glob("raw/touchpoints/*.parquet")):
        orders = folder / "raw/orders" / touchpoints.name
        for arguments in (["land", "touchpoints", touchpoints], ["land", "orders", orders], ["nightly"]):
            subprocess.run([program(), *arguments, *where], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    land(Path(sys.argv[1]).resolve())
