"""Drill `load`: dashboards on a thousand connections, a request a second on each, beside landings and ten analysts."""

import asyncio
import random
import re
import statistics
import time
from datetime import date, datetime, timedelta, timezone

import processes
from hostile import make_key
from outcome import Outcome, Settings
from processes import Server

STORES = ["north", "south", "west"]
CHANNELS = ["google", "meta", "tiktok", "email", "affiliate"]
DAYS = 60
# Each connection asks one of these, the whole time.
RANGES = [7, 14, 28, 30, 60]
ANALYSTS = 10
# Seconds between two landings of a store, between two questions of an analyst, and until what is asked is known to the server.
LANDING_S, THINKING_S, WARMING_S = 60.0, 1.0, 10.0
# What is promised: milliseconds at the 95th percentile of cached answers and of all, and the part that is cached.
CACHED_MS, ALL_MS, HIT_RATE = 50, 500, 0.8
STATEMENTS = [
    "select channel, sum(cost) as cost, sum(clicks) as clicks from metrics group by channel order by cost desc",
    "select customer_id, count(*) as orders, sum(revenue) as revenue from orders group by customer_id order by revenue desc limit 20",
    "select date_trunc('week', touched_at) as week, channel, count(*) from touchpoints group by 1, 2 order by 1, 2",
]


def drill(settings: Settings) -> Outcome:
    folder = settings.folder("load")
    lake = folder / "lake"
    chance = random.Random(settings.seed)
    for store in STORES:
        for table, rows in history(chance).items():
            file = folder / f"{table}.csv"
            file.write_text(rows)
            processes.must(str(lake), "land", table, str(file), "--store", store)
    keys = {store: make_key(lake, store, "query") for store in STORES}
    landing = {store: make_key(lake, store, "land") for store in STORES}
    connections, seconds = (1_000, 600) if settings.is_long else (100, 20)
    with Server(str(lake), folder / "server.log") as server:
        before = server.resident_bytes()
        seen = asyncio.run(run(server.port, keys, landing, connections, settings.count or seconds, chance))
        after = server.resident_bytes()
    outcome = Outcome()
    hits, all_ms = seen.cached, seen.cached + seen.computed
    rate = len(hits) / max(1, len(all_ms))
    outcome.figures = {
        "answers": len(all_ms), "part cached": f"{rate:.3f}", "ms p95 cached": f"{p95(hits):.1f}", "ms p95 of all": f"{p95(all_ms):.1f}",
        "ms at most": f"{max(all_ms, default=0):.0f}", "landings": seen.landings, "analysts' answers": len(seen.analysts),
        "ms p95 of analysts": f"{p95(seen.analysts):.0f}", "errors": len(seen.errors), "MB before": before >> 20, "MB after": after >> 20,
    }  # fmt: skip
    if seen.errors:
        outcome.fail(settings.seed, f"{len(seen.errors)} errors: {seen.errors[0]}", [], folder)
    # A debug build answers, and promises no times.
    if settings.is_long and (p95(hits) > CACHED_MS or p95(all_ms) > ALL_MS or rate < HIT_RATE):
        outcome.fail(settings.seed, f"slower than promised: {outcome.figures}", [], folder)
    return outcome


def p95(times: list[float]) -> float:
    return statistics.quantiles(times, n=20)[-1] if len(times) > 1 else 0.0


def history(chance: random.Random) -> dict[str, str]:
    """Returns two months of a shop as CSV, by table."""
    days = [date.today() - timedelta(days=age) for age in range(DAYS)]
    metrics = [f"{day},{channel},{channel}-{n},USD,{chance.randrange(1, 90_000) / 100},{chance.randrange(9_000)},{chance.randrange(300)}" for day in days for channel in CHANNELS for n in range(4)]
    orders = [f"o{n},c{chance.randrange(4_000)},{chance.choice(days)}T{chance.randrange(24):02}:10:00Z,completed,USD,{chance.randrange(100, 30_000) / 100}" for n in range(10_000)]
    touches = [f"t{n},c{chance.randrange(4_000)},{chance.choice(days)}T{chance.randrange(24):02}:00:00Z,{chance.choice(CHANNELS)}" for n in range(40_000)]
    header = {"metrics": "date,channel,campaign,currency,cost,impressions,clicks", "orders": "order_id,customer_id,ordered_at,status,currency,revenue", "touchpoints": "touch_id,customer_id,touched_at,channel"}
    return {table: "\n".join([header[table], *rows]) + "\n" for table, rows in (("metrics", metrics), ("orders", orders), ("touchpoints", touches))}


class Seen:
    """What all clients saw together; times are milliseconds, of requests that began after a time."""

    def __init__(self, begins: float):
        self.begins = begins
        self.cached, self.computed, self.analysts, self.errors, self.landings = [], [], [], [], 0


class Client:
    """One connection that stays open."""

    def __init__(self, port: int, key: str):
        self.port, self.key = port, key

    async def open(self) -> "Client":
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        return self

    async def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, str, bytes]:
        """Returns the status, the header and the body of the answer."""
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self.key}\r\nContent-Length: {len(body)}\r\n\r\n"
        self.writer.write(head.encode() + body)
        header = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        if length := re.search(r"(?i)\r\ncontent-length: (\d+)", header):
            return int(header[9:12]), header, await self.reader.readexactly(int(length[1]))
        received = b""
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            received += (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readexactly(2)
        return int(header[9:12]), header, received


async def run(port: int, keys: dict, landing: dict, connections: int, seconds: float, chance: random.Random) -> Seen:
    seen, over = Seen(time.monotonic() + min(WARMING_S, seconds / 4)), time.monotonic() + seconds
    watchers = [watch(port, keys[STORES[n % len(STORES)]], n, n / connections, over, seen) for n in range(connections)]
    landers = [land(port, landing[store], random.Random(chance.random()), n / len(STORES) * LANDING_S, over, seen) for n, store in enumerate(STORES)]
    analysts = [analyse(port, keys[STORES[n % len(STORES)]], n, over, seen) for n in range(ANALYSTS)]
    await asyncio.gather(*watchers, *landers, *analysts)
    return seen


def path_of(number: int) -> str:
    days = RANGES[number % len(RANGES)]
    end = date.today()
    start = end - timedelta(days=days)
    return [
        f"/api/marketing/analytics/dashboard?days={days}",
        f"/v1/queries/attribution/by_channel?start={start}&end={end}",
        f"/api/marketing/analytics/attribution?start_date={start}&end_date={end}",
    ][number // len(RANGES) % 3]


async def watch(port: int, key: str, number: int, offset: float, over: float, seen: Seen) -> None:
    """Asks the same each second, as an open page does."""
    client, path = await Client(port, key).open(), path_of(number // len(STORES))
    due = time.monotonic() + offset
    while due < over:
        await asyncio.sleep(due - time.monotonic())
        begun = time.monotonic()
        try:
            status, header, body = await client.ask("GET", path)
        except (OSError, asyncio.IncompleteReadError) as error:
            seen.errors.append(f"{path}: {error!r}")
            client = await Client(port, key).open()
            continue
        elapsed = (time.monotonic() - begun) * 1000
        if status != 200:
            seen.errors.append(f"{path}: HTTP {status} {body[:300]!r}")
        if begun > seen.begins:
            (seen.cached if "tributary-cache: hit" in header.lower() else seen.computed).append(elapsed)
        # A page that has waited asks again at once, and not for each second that it waited.
        due = max(due + 1, time.monotonic())


async def land(port: int, key: str, chance: random.Random, offset: float, over: float, seen: Seen) -> None:
    await asyncio.sleep(min(offset, max(0, over - time.monotonic())))
    client = await Client(port, key).open()
    while time.monotonic() < over:
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        number = chance.getrandbits(60)
        orders = "order_id,customer_id,ordered_at,status,currency,revenue\n" + "".join(f"n{number}-{n},c{chance.randrange(4_000)},{now},completed,USD,9.99\n" for n in range(10))
        touches = "touch_id,customer_id,touched_at,channel\n" + "".join(f"n{number}-{n},c{chance.randrange(4_000)},{now},{chance.choice(CHANNELS)}\n" for n in range(40))
        for table, rows in (("orders", orders), ("touchpoints", touches)):
            status, _, body = await client.ask("POST", f"/v1/land/{table}?format=csv", rows.encode())
            seen.landings += 1
            if status != 200:
                seen.errors.append(f"landing {table}: HTTP {status} {body[:300]!r}")
        await asyncio.sleep(min(LANDING_S, max(0, over - time.monotonic())))


async def analyse(port: int, key: str, number: int, over: float, seen: Seen) -> None:
    client = await Client(port, key).open()
    while time.monotonic() < over:
        begun = time.monotonic()
        status, _, body = await client.ask("POST", "/v1/sql", STATEMENTS[number % len(STATEMENTS)].encode())
        seen.analysts.append((time.monotonic() - begun) * 1000)
        if status != 200:
            seen.errors.append(f"a statement: HTTP {status} {body[:300]!r}")
        await asyncio.sleep(THINKING_S)
