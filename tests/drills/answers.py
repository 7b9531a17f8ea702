"""Answers that are computed from a store's rows: journeys, and what attribution adds up to."""

import json
import urllib.parse
from collections import Counter

import client
from client import STORE
from processes import Failed
from world import World

# Columns that the table has and the function does not.
OWN = {"booked_month", "ingested_at", "batch_id", "extras", "store_id"}
KEPT = "select * from journeys"
COMPUTED = "select * from journeys(include_refused => true, refused_days => 1)"


def compare_journeys(world: World) -> None:
    """The table that follows what is landed has to equal the function that computes it anew."""
    server = world.servers[0]
    kept, computed = (
        sorted(json.dumps({name: value for name, value in row.items() if name not in OWN}, sort_keys=True) for row in client.sql(server, text))
        for text in (KEPT, COMPUTED)
    )
    if kept != computed:
        more, less = list((Counter(kept) - Counter(computed)).elements()), list((Counter(computed) - Counter(kept)).elements())
        raise Failed(f"the table journeys has {len(more)} rows that it should not have and lacks {len(less)}: {more[:1]} {less[:1]}")


def reconcile(world: World) -> None:
    """The credits of every model add up to the orders less the refunds that the model knows, to the cent."""
    path = "/v1/queries/attribution/reconciliation?" + urllib.parse.urlencode({"store": STORE, "format": "json"})
    answer = client.request(world.servers[1], "GET", path)
    if answer.status != 200:
        raise Failed(f"attribution/reconciliation was answered by {answer}")
    expected = _credited_cents(world)
    for row in answer.json()["data"]:
        if _cents(row["difference"]) != 0:
            raise Failed(f"attribution/reconciliation has a difference: {row}")
        if row["currency"] == "USD" and _cents(row["amount"]) != expected:
            raise Failed(f"attribution/reconciliation credits {row['amount']}, not {expected / 100:.2f}")


def _credited_cents(world: World) -> int:
    orders = {key: version.row for key, version in world.model.tables["orders"].items()}
    completed = {key: row for key, row in orders.items() if row["status"] == "completed"}
    refunds = [version.row for version in world.model.tables["refunds"].values()]
    # A refund of an order that is not known has no currency, and is listed apart.
    back = sum(_cents(row["amount"]) for row in refunds if row["order_id"] in completed)
    return sum(_cents(row["revenue"]) for row in completed.values()) - back


def _cents(amount: str) -> int:
    return round(float(amount) * 100)
