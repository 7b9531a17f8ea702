"""How each peer answers a question over one layout, with two threads and in its best formulation.

A function takes the question and the folder of a layout and returns the names of the columns and the rows. Engines are
imported where they are used: a process pays for its own alone.
"""

import os
import re
from pathlib import Path

QUERIES = Path(__file__).parent / "queries"
TABLES = ["touchpoints", "orders"]
CHANNELS = ["ads", "affiliate", "direct", "email", "influencer", "referral", "seo", "social"]
THREADS = 2


def sql(engine: str, question: str, folder: Path) -> str:
    """Returns the text of a question, the layout's own where there is one."""
    own = QUERIES / engine / f"{question}.{folder.name}.sql"
    text = (own if own.exists() else QUERIES / engine / f"{question}.sql").read_text()
    # An else keeps the code from being nullable.
    whens = " ".join(f"when '{channel}' then {code}" for code, channel in enumerate(CHANNELS[:-1]))
    return text.format(code=f"case channel {whens} else {len(CHANNELS) - 1} end", channels=CHANNELS)


def with_duckdb(question: str, folder: Path) -> tuple[list, list]:
    import duckdb

    connection = duckdb.connect(config={"threads": THREADS, "preserve_insertion_order": False})
    for table in TABLES:
        connection.execute(f"create view {table} as from '{folder}/{table}/*.parquet'")
    answer = connection.execute(sql("duckdb", question, folder))
    return [column[0] for column in answer.description], answer.fetchall()


def with_polars(question: str, folder: Path) -> tuple[list, list]:
    os.environ["POLARS_MAX_THREADS"] = str(THREADS)
    import polars_queries

    answer = getattr(polars_queries, question)(folder).collect(engine="streaming")
    return answer.columns, answer.rows()


def with_chdb(question: str, folder: Path) -> tuple[list, list]:
    import csv

    import chdb

    # Files are named in the query: views would need a session, which takes longer to open.
    text = sql("chdb", question, folder)
    text = re.sub(r"from (touchpoints|orders)\b", rf"from file('{folder}/\1/*.parquet', Parquet)", text)
    options = {
        "max_threads": THREADS,
        "schema_inference_make_columns_nullable": 0,
        "session_timezone": "'UTC'",
    }
    settings = ", ".join(f"{name} = {value}" for name, value in options.items())
    names, *rows = csv.reader(str(chdb.query(f"{text} settings {settings}", "CSVWithNames")).splitlines())
    return names, rows


def with_datafusion(question: str, folder: Path) -> tuple[list, list]:
    os.environ["TOKIO_WORKER_THREADS"] = str(THREADS)
    import datafusion

    config = datafusion.SessionConfig().with_target_partitions(THREADS)
    # Larger batches take a tenth less by time and no more by customer; the dialect is one that has lambdas.
    config = config.set("datafusion.execution.batch_size", "32768").set(
        "datafusion.sql_parser.dialect", "duckdb"
    )
    context = datafusion.SessionContext(config)
    for table in TABLES:
        context.register_parquet(table, f"{folder}/{table}/")
    for statement in sql("datafusion", question, folder).split(";\n"):
        answer = context.sql(statement).to_pydict()
    return list(answer), list(zip(*answer.values()))


ENGINES = {"duckdb": with_duckdb, "polars": with_polars, "chdb": with_chdb, "datafusion": with_datafusion}
