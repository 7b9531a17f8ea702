"""Batches whose rows can be counted: every row names its batch, so that a lost, doubled or partial one is seen."""

import itertools
import threading
from pathlib import Path

import client
from processes import Failed, Lost, Server

TABLE = "touchpoints"
ROWS_PER_BATCH = 30
COUNTS = f"select campaign, count(*) as row_count, count(distinct touch_id) as touch_count from {TABLE} group by campaign"


def rows_of(batch: str, row_count: int = ROWS_PER_BATCH) -> list[dict]:
    """Returns a batch's rows, which lie in two months."""
    return [
        {"touch_id": f"{batch}-{n}", "customer_id": f"c{n}", "touched_at": f"2026-0{n % 2 + 1}-10T09:00:00Z", "channel": "email", "campaign": batch}
        for n in range(row_count)
    ]


class Ledger:
    """What senders know: batches that were acknowledged, and those whose answer was lost."""

    def __init__(self):
        self.acknowledged: set[str] = set()
        self.unknown: set[str] = set()
        self.lock = threading.Lock()
        self.refused: list[str] = []

    def land(self, server: Server, batch: str) -> bool:
        """Sends a batch under its own key. Returns whether an answer came."""
        try:
            answer = client.land(server, TABLE, rows_of(batch), key=batch)
        except Lost:
            with self.lock:
                self.unknown.add(batch)
            return False
        with self.lock:
            if answer.status == 200:
                self.acknowledged.add(batch)
                self.unknown.discard(batch)
            else:
                self.refused.append(f"{batch} was answered by {answer}")
        return answer.status == 200

    def send_until_lost(self, server: Server, prefix: str, first_acknowledged: threading.Event, most: int = 10_000) -> None:
        """Sends one batch after the other until the server is gone."""
        for number in itertools.count():
            if number == most or not self.land(server, f"{prefix}-{number}"):
                break
            first_acknowledged.set()
        first_acknowledged.set()

    def repeat_unknown(self, server: Server) -> None:
        """Sends again what had no answer, under the same keys."""
        for batch in sorted(self.unknown):
            self.land(server, batch)

    def check(self, server: Server) -> None:
        """Every acknowledged batch is there whole and once; one without an answer is there whole and once, or not at all."""
        if self.refused:
            raise Failed(f"{len(self.refused)} landings were refused: {self.refused[0]}")
        found = {row["campaign"]: (row["row_count"], row["touch_count"]) for row in client.sql(server, COUNTS)}
        lost = sorted(self.acknowledged - found.keys())
        wrong = {batch: rows for batch, rows in found.items() if rows != (ROWS_PER_BATCH, ROWS_PER_BATCH)}
        invented = sorted(found.keys() - self.acknowledged - self.unknown)
        if lost or wrong or invented:
            raise Failed(
                f"of {len(self.acknowledged)} acknowledged batches {len(lost)} are lost {lost[:3]}; {len(wrong)} are doubled or partial "
                f"{dict(list(wrong.items())[:3])}; {len(invented)} were never sent {invented[:3]}"
            )


def server(lake: Path, binary: str | None = None, **env: str) -> Server:
    """Returns a server whose errors are written beside the lake."""
    return Server(str(lake), lake.parent / "server.log", binary=binary, env=env)
