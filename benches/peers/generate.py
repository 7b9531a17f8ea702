"""Generates touchpoints and orders of one year as Parquet files in two layouts.

    python generate.py TOUCHPOINTS FOLDER

    FOLDER/raw/{touchpoints,orders}/2025-MM.parquet        by time, a file a month
    FOLDER/clustered/{touchpoints,orders}/BB.parquet       by customer and time, 16 files

Both layouts hold the same rows, and a size gives the same rows everywhere. There are as many customers as an eighth
of the touchpoints and as many orders as a twentieth. Memory follows one sixteenth of the touchpoints; while it runs,
28 bytes a touchpoint are on disk besides the result.
"""

import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SEED = 20_250_101
BUCKETS = 16
ROWS_PER_GROUP = 250_000
DAY_US = 86_400_000_000
YEAR_US = 365 * DAY_US
START_US = int(np.datetime64("2025-01-01", "us").astype(np.int64))
MONTH_STARTS_US = (
    np.arange("2025-01", "2026-02", dtype="datetime64[M]").astype("datetime64[us]").astype(np.int64)
    - START_US
)

CHANNELS = ["direct", "seo", "social", "ads", "email", "referral", "affiliate", "influencer"]
CHANNEL_WEIGHTS = np.array([0.26, 0.22, 0.15, 0.13, 0.10, 0.06, 0.05, 0.03])
CAMPAIGNS = [f"campaign_{number:03}" for number in range(600)]
STATUSES = ["completed", "pending", "cancelled"]
STATUS_WEIGHTS = np.array([0.91, 0.05, 0.04])

INSTANT = pa.timestamp("us", tz="UTC")
MONEY = pa.decimal128(18, 2)
TOUCHPOINTS = pa.schema(
    [
        ("touch_id", pa.int64()),
        ("customer_id", pa.string()),
        ("touched_at", INSTANT),
        ("channel", pa.string()),
        ("campaign", pa.string()),
    ]
)
ORDERS = pa.schema(
    [
        ("order_id", pa.int64()),
        ("customer_id", pa.string()),
        ("ordered_at", INSTANT),
        ("status", pa.string()),
        ("currency", pa.string()),
        ("revenue", MONEY),
    ]
)
TOUCH = np.dtype([("at", "i8"), ("id", "i8"), ("customer", "i4"), ("campaign", "i4"), ("channel", "i4")])
ORDER = np.dtype([("at", "i8"), ("id", "i8"), ("customer", "i4"), ("cents", "i4"), ("status", "i4")])


def main(touchpoints: int, folder: Path) -> None:
    spill = folder / "spill"
    spill.mkdir(parents=True)
    orders = []
    for bucket in range(BUCKETS):
        rng = np.random.default_rng([SEED, touchpoints, bucket])
        touches = touches_of(rng, touchpoints, bucket)
        orders.append(orders_of(rng, touches, touchpoints, bucket))
        write(folder / f"clustered/touchpoints/{bucket:02}.parquet", touches, touch_batch)
        month = np.searchsorted(MONTH_STARTS_US, touches["at"], side="right")
        for number in range(1, 13):
            with open(spill / f"{number:02}", "ab") as file:
                touches[month == number].tofile(file)
    write_orders(folder, np.concatenate(orders))
    for number in range(1, 13):
        touches = np.fromfile(spill / f"{number:02}", TOUCH)
        touches = touches[np.argsort(touches["at"])]
        write(folder / f"raw/touchpoints/2025-{number:02}.parquet", touches, touch_batch)
        (spill / f"{number:02}").unlink()
    shutil.rmtree(spill)


def touches_of(rng: np.random.Generator, touchpoints: int, bucket: int) -> np.ndarray:
    """Returns a bucket's touches, sorted by customer and time: journeys of touches a day or two apart."""
    count, customers = touchpoints // BUCKETS, touchpoints // 8 // BUCKETS
    activity = np.cumsum(rng.lognormal(0, 1.3, customers))
    customer = np.searchsorted(activity / activity[-1], (np.arange(count) + 0.5) / count)
    is_first = np.diff(customer, prepend=-1) > 0
    is_first |= rng.random(count) < 0.2
    journey, starts = np.cumsum(is_first) - 1, np.flatnonzero(is_first)
    gap = np.where(is_first, 0, rng.exponential(1.5 * DAY_US, count).astype(np.int64))
    elapsed = np.cumsum(gap)
    began = rng.integers(0, YEAR_US, len(starts)) - elapsed[starts]
    favourite = pick(rng, CHANNEL_WEIGHTS, len(starts))

    touches = np.empty(count, TOUCH)
    touches["at"] = (began[journey] + elapsed) % YEAR_US
    touches["customer"] = customer * BUCKETS + bucket
    touches["channel"] = np.where(
        rng.random(count) < 0.35, favourite[journey], pick(rng, CHANNEL_WEIGHTS, count)
    )
    touches["campaign"] = (touches["channel"] * 75 + rng.integers(0, 75, count)) % len(CAMPAIGNS)
    # One touch a microsecond in a bucket: no two touches of a customer tie, and the instant makes an id.
    touches = touches[np.argsort(touches["at"])]
    while (ties := np.flatnonzero(np.diff(touches["at"]) <= 0)).size:
        touches["at"][ties + 1] = touches["at"][ties] + 1
    touches["id"] = touches["at"] * BUCKETS + bucket
    return touches[np.lexsort((touches["at"], touches["customer"]))]


def orders_of(rng: np.random.Generator, touches: np.ndarray, touchpoints: int, bucket: int) -> np.ndarray:
    """Returns a bucket's orders: 85 % follow a touch, the others come from any customer at any time."""
    count = touchpoints // 20 // BUCKETS
    follows = rng.random(count) < 0.85
    touch = touches[rng.integers(0, len(touches), count)]
    later = touch["at"] + rng.exponential(2.0 * DAY_US, count).astype(np.int64)
    stranger = rng.integers(0, touchpoints // 8 // BUCKETS, count) * BUCKETS + bucket

    orders = np.empty(count, ORDER)
    orders["at"] = np.where(follows & (later < YEAR_US), later, rng.integers(0, YEAR_US, count))
    orders["customer"] = np.where(follows, touch["customer"], stranger)
    orders["cents"] = np.rint(rng.lognormal(4.0, 0.8, count) * 100).clip(100, 5_000_000)
    orders["status"] = pick(rng, STATUS_WEIGHTS, count)
    return orders


def pick(rng: np.random.Generator, weights: np.ndarray, count: int) -> np.ndarray:
    edges = np.cumsum(weights)[:-1]
    return np.searchsorted(edges, rng.random(count), side="right").astype(np.int32)


def write_orders(folder: Path, orders: np.ndarray) -> None:
    orders = orders[np.argsort(orders["at"], kind="stable")]
    orders["id"] = np.arange(1, len(orders) + 1)
    edges = np.searchsorted(orders["at"], MONTH_STARTS_US)
    for number in range(1, 13):
        month = orders[edges[number - 1] : edges[number]]
        write(folder / f"raw/orders/2025-{number:02}.parquet", month, order_batch)
    for bucket in range(BUCKETS):
        rows = orders[orders["customer"] % BUCKETS == bucket]
        rows = rows[np.lexsort((rows["at"], rows["customer"]))]
        write(folder / f"clustered/orders/{bucket:02}.parquet", rows, order_batch)


def write(path: Path, rows: np.ndarray, to_batch) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Small decimals as integers and a page index: what every reader here is quickest with.
    options = {"compression": "zstd", "store_decimal_as_integer": True, "write_page_index": True}
    with pq.ParquetWriter(path, to_batch(rows[:0]).schema, **options) as writer:
        for start in range(0, len(rows), ROWS_PER_GROUP):
            writer.write_batch(to_batch(rows[start : start + ROWS_PER_GROUP]), row_group_size=ROWS_PER_GROUP)


def touch_batch(rows: np.ndarray) -> pa.RecordBatch:
    columns = [
        pa.array(rows["id"]),
        customer_ids(rows["customer"]),
        pa.array(rows["at"] + START_US).cast(INSTANT),
        pa.array(CHANNELS).take(pa.array(rows["channel"])),
        pa.array(CAMPAIGNS).take(pa.array(rows["campaign"])),
    ]
    return pa.record_batch(columns, schema=TOUCHPOINTS)


def order_batch(rows: np.ndarray) -> pa.RecordBatch:
    columns = [
        pa.array(rows["id"]),
        customer_ids(rows["customer"]),
        pa.array(rows["at"] + START_US).cast(INSTANT),
        pa.array(STATUSES).take(pa.array(rows["status"])),
        pa.array(["USD"]).take(pa.array(np.zeros(len(rows), np.int32))),
        money(rows["cents"]),
    ]
    return pa.record_batch(columns, schema=ORDERS)


def customer_ids(customers: np.ndarray) -> pa.Array:
    """Returns texts such as c_0000000042."""
    digits = np.full((len(customers), 12), ord("0"), np.uint8)
    digits[:, :2] = list(b"c_")
    rest = customers.copy()
    for place in range(11, 1, -1):
        rest, digit = np.divmod(rest, 10)
        digits[:, place] += digit.astype(np.uint8)
    offsets = np.arange(0, 12 * len(customers) + 1, 12, dtype=np.int32)
    return pa.StringArray.from_buffers(len(customers), pa.py_buffer(offsets), pa.py_buffer(digits))


def money(cents: np.ndarray) -> pa.Array:
    """Returns decimals of 128 bits; the upper half of a positive one is zero."""
    halves = np.zeros((len(cents), 2), np.int64)
    halves[:, 0] = cents
    return pa.Array.from_buffers(MONEY, len(cents), [None, pa.py_buffer(halves)])


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
