"""A store as plain dictionaries: what a lake has to answer after the same landings and erasures."""

import json
from decimal import Decimal
from typing import NamedTuple

KEYS = {
    "orders": "order_id",
    "touchpoints": "touch_id",
    "refunds": "refund_id",
    "identities": "anonymous_id",
    "customers": "customer_id",
}

# What is compared; ballast and what Tributary adds is left out.
COLUMNS = {
    "orders": ["order_id", "customer_id", "ordered_at", "status", "revenue", "utm_source"],
    "touchpoints": ["touch_id", "customer_id", "touched_at", "channel", "cost"],
    "refunds": ["refund_id", "order_id", "refunded_at", "amount"],
    "identities": ["anonymous_id", "customer_id", "linked_at"],
    "customers": ["customer_id", "segment"],
}
MONEY = {"revenue", "cost", "amount"}

# The instant of a row without `source_updated_at` is that of its landing, which is later than any that the drills give.
LANDED = "9999"


class Version(NamedTuple):
    """The newest version of a key, and the instant that it is as of."""

    row: dict
    as_of: str


class Model:
    """One store's rows. A version as of a later instant wins; of two as of the same instant, the later commit."""

    def __init__(self):
        self.tables: dict[str, dict[str, Version]] = {name: {} for name in KEYS}
        self.refused: list[str] = []

    def copy(self) -> "Model":
        other = Model()
        other.tables = {name: dict(rows) for name, rows in self.tables.items()}
        other.refused = list(self.refused)
        return other

    def land(self, table: str, rows: list[dict]) -> None:
        """Commits a batch: of rows with one key and one instant, the last in the batch wins."""
        known = self.tables[table]
        for row in rows:
            key, as_of = row[KEYS[table]], row.get("source_updated_at", LANDED)
            if key not in known or as_of >= known[key].as_of:
                known[key] = Version(row, as_of)

    def refuse(self, raw: list[str]) -> None:
        """Commits rows of a quarantine, as they came."""
        self.refused.extend(raw)

    def ids_of(self, customer: str) -> set[str]:
        """Returns every id of a person: the customer's, and those that `identities` links to it."""
        links = {key: version.row["customer_id"] for key, version in self.tables["identities"].items()}
        customers = {customer, links.get(customer, customer)}
        return customers | {anonymous for anonymous, linked in links.items() if linked in customers}

    def erase(self, customer: str) -> set[str]:
        """Forgets a person and returns the ids."""
        ids = self.ids_of(customer)
        parts = self.erased_parts(ids)
        for table, keys in parts.items():
            for key in keys:
                del self.tables[table][key]
        self.refused = [raw for raw in self.refused if not names_any(raw, ids)]
        return ids

    def erased_parts(self, ids: set[str]) -> dict[str, list[str]]:
        """Returns the keys that an erasure takes out of each table."""
        columns = {"orders": ["customer_id"], "touchpoints": ["customer_id"], "customers": ["customer_id"], "identities": ["anonymous_id", "customer_id"]}
        parts = {
            table: [key for key, version in self.tables[table].items() if any(version.row[name] in ids for name in names)] for table, names in columns.items()
        }
        orders = set(parts["orders"])
        parts["refunds"] = [key for key, version in self.tables["refunds"].items() if version.row["order_id"] in orders]
        return parts

    def rows(self, table: str) -> list[tuple]:
        """Returns a table's rows as they are compared, in order."""
        return comparable(table, (version.row for version in self.tables[table].values()))


def comparable(table: str, rows) -> list[tuple]:
    return sorted(tuple(_plain(name, row.get(name)) for name in COLUMNS[table]) for row in rows)


def _plain(name: str, value) -> str:
    if value is None:
        return ""
    return format(Decimal(value), ".4f") if name in MONEY else str(value)


def names_any(raw: str, ids: set[str]) -> bool:
    """Returns whether a refused row has one of the ids as a value."""
    return any(value in ids for value in json.loads(raw).values() if isinstance(value, str))


def differences(table: str, expected: list[tuple], seen: list[tuple]) -> list[str]:
    """Says how rows that were read differ from those of the model; nothing if they agree."""
    if expected == seen:
        return []
    wanted = {row[0]: row for row in expected}
    found: dict[str, list[tuple]] = {}
    for row in seen:
        found.setdefault(row[0], []).append(row)
    lines = []
    for key in sorted(wanted.keys() | found.keys()):
        rows = found.get(key, [])
        if len(rows) > 1:
            lines.append(f"{table} {key} is there {len(rows)} times (doubled): {rows}")
        elif not rows:
            lines.append(f"{table} {key} is missing (lost): {wanted[key]}")
        elif key not in wanted:
            lines.append(f"{table} {key} should not be there (came back): {rows[0]}")
        elif rows[0] != wanted[key]:
            lines.append(f"{table} {key} is another version (wrong): {rows[0]}, not {wanted[key]}")
    return lines
