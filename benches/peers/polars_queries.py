"""What Polars is asked: a function for each question, from the folder of a layout to a lazy frame."""

from pathlib import Path

import polars as pl
from polars import col

from engines import CHANNELS

DAY_US = 86_400_000_000


def completed(folder: Path) -> pl.LazyFrame:
    orders = pl.scan_parquet(f"{folder}/orders/*.parquet").filter(col("status") == "completed")
    return orders.select(
        "order_id", "customer_id", ordered_us=col("ordered_at").dt.timestamp("us"), revenue="revenue"
    )


def journeys(folder: Path, channel: pl.Expr) -> pl.LazyFrame:
    """Returns a row per order and touch within the 30 days before it."""
    touches = pl.scan_parquet(f"{folder}/touchpoints/*.parquet")
    touches = touches.select("customer_id", touched_us=col("touched_at").dt.timestamp("us"), channel=channel)
    age_us = col("ordered_us") - col("touched_us")
    return touches.join(completed(folder), on="customer_id").filter(age_us.is_between(0, 30 * DAY_US))


def credit(folder: Path) -> pl.LazyFrame:
    decay = (col("touched_us") - col("ordered_us")).cast(pl.Float64) / (7 * DAY_US) * pl.lit(2.0).log()
    pairs = journeys(folder, col("channel")).select(
        "order_id", "channel", "touched_us", revenue=col("revenue").cast(pl.Float64), decay=decay.exp()
    )
    pairs = pairs.with_columns(
        touch_count=pl.len().over("order_id"),
        total_decay=col("decay").sum().over("order_id"),
        is_first=col("touched_us") == col("touched_us").min().over("order_id"),
        is_last=col("touched_us") == col("touched_us").max().over("order_id"),
    )
    position = (
        pl.when(col("touch_count") == 1)
        .then(1.0)
        .when(col("touch_count") == 2)
        .then(0.5)
        .when(col("is_first") | col("is_last"))
        .then(0.4)
        .otherwise(0.2 / (col("touch_count").cast(pl.Int64) - 2))
    )
    revenue = col("revenue")
    credited = pairs.group_by("channel").agg(
        first_touch=(revenue * col("is_first")).sum(),
        last_touch=(revenue * col("is_last")).sum(),
        linear=(revenue / col("touch_count")).sum(),
        time_decay=(revenue * col("decay") / col("total_decay")).sum(),
        position_based=(revenue * position).sum(),
    )
    # Collected, for a frame that is used twice may run twice.
    credited = credited.collect(engine="streaming").lazy()
    total = completed(folder).select(total=revenue.sum().cast(pl.Float64))
    rest = total.join(credited.select(col("first_touch").sum()), how="cross").select(
        col("total") - col("first_touch")
    )
    models = ["first_touch", "last_touch", "linear", "time_decay", "position_based"]
    rest = rest.select(
        pl.lit("(unattributed)").alias("channel"), *[col("total").alias(model) for model in models]
    )
    return pl.concat([credited, rest])


def distinct_paths(folder: Path) -> pl.LazyFrame:
    """Returns the orders and revenue of each sequence of channels.

    Instant and channel in one number sort quicker than channels by the instant.
    """
    code = col("channel").cast(pl.Enum(CHANNELS)).to_physical().cast(pl.Int64)
    pairs = journeys(folder, code).select("order_id", "revenue", touch=col("touched_us") * 8 + col("channel"))
    codes = (col("touch").sort() % 8).cast(pl.UInt8)
    sequences = pairs.group_by("order_id").agg(col("revenue").first(), codes=codes)
    return sequences.group_by("codes").agg(orders=pl.len(), revenue=col("revenue").sum())


def paths(folder: Path) -> pl.LazyFrame:
    # Codes are in the order of the channels' names, so lists sort as the texts do.
    top = distinct_paths(folder).sort("orders", "codes", descending=[True, False]).head(20)
    names = pl.element().replace_strict(range(len(CHANNELS)), CHANNELS, return_dtype=pl.String)
    return top.select(col("codes").list.eval(names).list.join(" > ").alias("path"), "orders", "revenue")


def transitions(folder: Path) -> pl.LazyFrame:
    start, conversion = len(CHANNELS), len(CHANNELS) + 1
    steps = distinct_paths(folder).select(
        "orders",
        source=pl.concat_list(pl.lit(start, pl.UInt8), "codes"),
        target=pl.concat_list("codes", pl.lit(conversion, pl.UInt8)),
    )
    counted = (
        steps.explode("source", "target").group_by("source", "target").agg(transitions=col("orders").sum())
    )
    names = [*CHANNELS, "(start)", "(conversion)"]
    return counted.with_columns(
        col("source", "target").replace_strict(range(len(names)), names, return_dtype=pl.String)
    )


def scan(folder: Path) -> pl.LazyFrame:
    touches = pl.scan_parquet(f"{folder}/touchpoints/*.parquet").select(
        touch_customers=col("customer_id").str.len_bytes().sum(),
        touch_instants=(col("touched_at").dt.timestamp("us") % 1000).sum(),
        channels=col("channel").str.len_bytes().sum(),
    )
    orders = pl.scan_parquet(f"{folder}/orders/*.parquet").select(
        col("order_id").sum(),
        order_customers=col("customer_id").str.len_bytes().sum(),
        order_instants=(col("ordered_at").dt.timestamp("us") % 1000).sum(),
        statuses=col("status").str.len_bytes().sum(),
        revenue=col("revenue").sum(),
    )
    return touches.join(orders, how="cross")


def start(folder: Path) -> pl.LazyFrame:
    return pl.LazyFrame({"one": [1]})
