"""Reads a lake's folder with deltalake and Polars, as docs/connect/delta.md says: the folder and the program are the arguments."""

import csv
import io
import re
import subprocess
import sys
import tempfile
from decimal import Decimal
from pathlib import Path

import deltalake
import duckdb
import polars as pl
import pyarrow as pa

GUIDE = Path(__file__).parents[2] / "docs/connect/delta.md"
STORES = ["demo", "demo-eu", "demo-jp"]


def ask(program: str, lake: str, store: str, sql: str) -> list[list[str]]:
    """Runs a statement with Tributary itself; gives its rows without the header."""
    command = [program, "--data", lake, "sql", "--store", store, "--format", "csv", "-c", sql]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return list(csv.reader(io.StringIO(out)))[1:]


def land_versions(program: str, lake: str) -> None:
    """Lands two orders once more, so that a plain reader sees two versions of each: a correction, and one that comes too late."""
    columns = "order_id,customer_id,ordered_at,status,currency"
    corrected, late = ask(program, lake, "demo", f"select {columns} from orders order by order_id limit 2")
    with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
        file.write(f"{columns},revenue,source_updated_at\n")
        file.write(f"{','.join(corrected)},12345.67,\n{','.join(late)},76543.21,2001-01-01T00:00:00Z\n")
        file.flush()
        command = [program, "--data", lake, "land", "orders", file.name, "--store", "demo"]
        subprocess.run(command, check=True, capture_output=True)


def orders(lake: str):
    return deltalake.DeltaTable(f"{lake}/orders").to_pyarrow_table()


def newest(lake: str) -> dict[str, list[tuple]]:
    """Counts and adds up what the guide's statement gives, in each program that the guide names."""
    statement = re.search(r"```sql\n(.*?)```", GUIDE.read_text(), re.S).group(1)
    totals = f"select store_id, count(*) as row_count, sum(revenue) as revenue from ({statement}) as newest group by store_id order by store_id"
    connection = duckdb.connect()
    connection.register("orders", orders(lake))
    by_deltalake = deltalake.QueryBuilder().register("orders", deltalake.DeltaTable(f"{lake}/orders")).execute(totals).read_all()
    by_polars = pl.SQLContext(orders=pl.scan_delta(f"{lake}/orders")).execute(totals).collect()
    return {
        "DuckDB": connection.sql(totals).fetchall(),
        "deltalake": [tuple(row.values()) for row in pa.table(by_deltalake).to_pylist()],
        "Polars": by_polars.rows(),
    }


def check_newest(program: str, lake: str) -> None:
    expected = truth(program, lake)
    for name, found in newest(lake).items():
        assert found == expected, (name, found, expected)


def truth(program: str, lake: str) -> list[tuple]:
    rows = []
    for store in STORES:
        [[count, revenue]] = ask(program, lake, store, "select count(*), sum(revenue) from orders")
        rows.append((store, int(count), Decimal(revenue)))
    return rows


def compare_every_table(program: str, lake: str) -> int:
    compared = 0
    for folder in sorted(Path(lake).glob("*/_delta_log")):
        table = folder.parent.name
        rows = deltalake.DeltaTable(str(folder.parent)).to_pyarrow_table()
        lazy = pl.scan_delta(str(folder.parent))
        assert lazy.select(pl.len()).collect().item() == rows.num_rows, table
        money = [field.name for field in rows.schema if str(field.type).startswith("decimal")]
        for store in STORES:
            sums = ", ".join(["count(*)"] + [f"coalesce(sum({name}), 0)" for name in money])
            [expected] = ask(program, lake, store, f"select {sums} from {table}")
            of_store = lazy.filter(pl.col("store_id") == store)
            found = of_store.select([pl.len().alias("rows")] + [pl.col(name).sum() for name in money]).collect().row(0)
            assert [Decimal(value) for value in expected] == [Decimal(value or 0) for value in found], (table, store)
            compared += 1
    return compared


def main(lake: str, program: str) -> None:
    before = orders(lake).num_rows
    land_versions(program, lake)
    assert orders(lake).num_rows == before + 2, "a plain reader sees both versions until the compaction"
    check_newest(program, lake)
    subprocess.run([program, "--data", lake, "nightly"], check=True, capture_output=True)
    assert orders(lake).num_rows == before, "after the compaction it sees each row once"
    check_newest(program, lake)
    print(f"{compare_every_table(program, lake)} stores of tables are the same to deltalake, Polars and Tributary")


main(sys.argv[1], sys.argv[2])
