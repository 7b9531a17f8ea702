"""Random rows of a shop: people, orders, touches, refunds, and corrections of what is there."""

import random
from datetime import datetime, timedelta, timezone

from model import KEYS, Model

START = datetime(2024, 10, 1, tzinfo=timezone.utc)
DAYS = 150
CHANNELS = ["email", "paid_search", "direct", "social"]
# As-of instants lie behind every landing, and on few days, so that some of them are equal.
AS_OF_START = datetime(2025, 6, 1, tzinfo=timezone.utc)
AS_OF_DAYS = 40

# One value of a ballast row, and rows enough that a body is written to files before its commit.
BALLAST = "b" * 500_000
BALLAST_ROWS = 100


class Rows:
    """Makes rows whose ids occur nowhere else, so that a file can be searched for them."""

    def __init__(self, seed: int, has_as_of: bool):
        self.random = random.Random(seed)
        self.has_as_of = has_as_of
        self.tag = f"{seed & 0xFFFFF:05x}"
        self.count = 0
        self.people: list[str] = []

    def id(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}-{self.tag}-{self.count:05d}"

    def person(self) -> str:
        """Returns somebody who is known, or somebody new."""
        if len(self.people) < 3 or self.random.random() < 0.2:
            # Some ids are not ASCII: a body may hold them escaped.
            self.people.append(self.id(self.random.choice(["zq", "zq", "zoë"])))
        return self.random.choice(self.people[-8:])

    def instant(self) -> str:
        return _text(START + timedelta(days=self.random.randrange(DAYS), seconds=self.random.randrange(86_400)))

    def money(self) -> str:
        cents = self.random.randrange(1, 50_000)
        return f"{cents // 100}.{cents % 100:02d}"

    def as_of(self) -> dict:
        """Returns the column `source_updated_at`, or nothing."""
        if not self.has_as_of or self.random.random() < 0.4:
            return {}
        return {"source_updated_at": _text(AS_OF_START + timedelta(days=self.random.randrange(AS_OF_DAYS)))}

    def order(self, customer: str | None = None) -> dict:
        status = self.random.choice(["completed", "completed", "completed", "pending", "cancelled"])
        return {
            "order_id": self.id("o"),
            "customer_id": customer or self.person(),
            "ordered_at": self.instant(),
            "status": status,
            "currency": "USD",
            "revenue": self.money(),
            "utm_source": self.random.choice(CHANNELS),
        } | self.as_of()

    def touch(self, customer: str | None = None) -> dict:
        return {
            "touch_id": self.id("t"),
            "customer_id": customer or self.person(),
            "touched_at": self.instant(),
            "channel": self.random.choice(CHANNELS),
            "cost": self.money(),
        } | self.as_of()

    def refund(self, model: Model) -> dict:
        orders = list(model.tables["orders"])
        order = self.random.choice(orders) if orders else self.id("o")
        return {"refund_id": self.id("r"), "order_id": order, "refunded_at": self.instant(), "amount": self.money()} | self.as_of()

    def identity(self) -> dict:
        return {"anonymous_id": self.id("vq"), "customer_id": self.person(), "linked_at": self.instant()} | self.as_of()

    def customer(self) -> dict:
        return {"customer_id": self.person(), "segment": self.random.choice(["new", "vip"])} | self.as_of()

    def batch(self, table: str, model: Model) -> list[dict]:
        """Returns a small batch: new rows, corrections, and now and then a key twice."""
        makers = {
            "orders": self.order,
            "touchpoints": self.touch,
            "refunds": lambda: self.refund(model),
            "identities": self.identity,
            "customers": self.customer,
        }
        rows = [makers[table]() for _ in range(self.random.randrange(1, 6))]
        for _ in range(self.random.randrange(3)):
            if corrected := self.correction(table, model):
                rows.append(corrected)
        if self.random.random() < 0.2:
            rows.append(self.changed(table, self.random.choice(rows)))
        self.random.shuffle(rows)
        return rows

    def correction(self, table: str, model: Model, keys: list[str] | None = None) -> dict | None:
        """Returns another version of a row that is there; `None` if there is no row."""
        keys = list(model.tables[table]) if keys is None else keys
        return self.changed(table, model.tables[table][self.random.choice(keys)].row) if keys else None

    def changed(self, table: str, row: dict) -> dict:
        """Returns a row with the same key and another month, person, amount or instant of change."""
        row = {name: value for name, value in row.items() if name != "source_updated_at"} | self.as_of()
        for name in row:
            if name.endswith("_at") and name != "source_updated_at" and self.random.random() < 0.5:
                row[name] = self.instant()
            elif name == "customer_id" and name != KEYS[table] and self.random.random() < 0.5:
                row[name] = self.person()
            elif name in ("revenue", "cost", "amount"):
                row[name] = self.money()
        return row

    def ballast(self) -> list[dict]:
        """Returns so many bytes of orders that they are written to files before the body ends."""
        customer, at = self.id("ballast"), self.instant()
        return [
            {"order_id": self.id("b"), "customer_id": customer, "ordered_at": at, "status": "pending", "currency": "USD",
             "revenue": "0.01", "utm_source": "ballast", "referrer": BALLAST}
            for _ in range(BALLAST_ROWS)
        ]  # fmt: skip


def _text(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")
