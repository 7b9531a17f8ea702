"""One lake with two servers and a command line, beside the model of what it has to hold."""

import itertools
import json
from collections import Counter
from pathlib import Path

import capabilities
import client
import files
import processes
from client import STORE
from model import KEYS, Model, comparable, differences
from places import Bucket, Folder
from processes import CONFLICT, Failed, Server
from rows import Rows

COMMAND_LINE = 2
REPEATS_OF_UNAVAILABLE = 2


class World:
    """Runs steps against the lake and follows them in the model.

    The lake holds one of `candidates`: there is more than one after a request whose answer was lost, until rows are read.
    """

    def __init__(self, seed: int, folder: Path, place: Folder | Bucket | None = None):
        self.folder = folder
        self.place = place or Folder(folder / "lake")
        self.rows = Rows(seed, capabilities.has_as_of())
        self.random = self.rows.random
        self.servers = [Server(self.place.url, folder / f"server-{n}.log", env=self.place.env) for n in range(2)]
        self.candidates = [Model()]
        self.erased: set[str] = set()
        self.unfinished: set[str] = set()
        self.sent: list[tuple[int, str, list[dict], str, dict]] = []
        self.steps: list[str] = []
        self.counts: Counter[str] = Counter()

    @property
    def model(self) -> Model:
        return self.candidates[0]

    def note(self, step: str) -> None:
        self.steps.append(step)

    def start(self) -> None:
        for server in self.servers:
            server.start()

    def close(self) -> None:
        for server in self.servers:
            if server.process:
                server.kill()

    def command(self, *arguments: str, **env: str):
        return processes.run(self.place.url, *arguments, env={**self.place.env, **env}, folder=self.folder)

    # Landings.

    def door(self) -> int:
        """Chooses a server, or the command line."""
        return self.random.choice([0, 0, 1, 1, COMMAND_LINE])

    def deliver(self, door: int, table: str, rows: list[dict], key: str) -> dict:
        """Lands rows through a door and returns the receipt. Changes no model."""
        if door != COMMAND_LINE:
            answer = client.land(self.servers[door], table, rows, key)
            for _ in range(REPEATS_OF_UNAVAILABLE):
                if answer.status == 503:
                    # The storage cannot answer now: a client tries again. The figures show how often.
                    self.counts["landings answered by 503"] += 1
                    answer = client.land(self.servers[door], table, rows, key)
            if answer.status != 200:
                raise Failed(f"a landing in {table} was answered by {answer}")
            return answer.json()
        path = self.folder / f"{key}.ndjson"
        path.write_bytes(client.ndjson(rows))
        done = self.command("land", table, str(path), "--store", STORE)
        if done.returncode != 0:
            raise Failed(f"`tributary land {table}` ended with {done.returncode}: {done.stderr}")
        if "panicked" in done.stderr:
            raise Failed(f"`tributary land {table}` panicked: {done.stderr[:400]}")
        return json.loads(done.stdout)

    def land(self, table: str, rows: list[dict], door: int | None = None) -> None:
        """Lands a batch and follows it."""
        door, key = self.door() if door is None else door, self.rows.id("key")
        self.note(f"land {len(rows)} rows in {table} by door {door} under {key}: {short(rows)}")
        receipt = self.deliver(door, table, rows, key)
        self.check_receipt(receipt, rows)
        self.sent.append((door, table, rows, key, receipt))
        self.commit(table, rows)

    def check_receipt(self, receipt: dict, rows: list[dict]) -> None:
        if receipt["rows"] != len(rows):
            raise Failed(f"the receipt says {receipt['rows']} rows of {len(rows)}: {receipt}")

    def commit(self, table: str, rows: list[dict]) -> None:
        """Follows a batch that was acknowledged."""
        self.counts["acknowledged batches"] += 1
        for model in self.candidates:
            model.land(table, rows)
        self.erased -= {row.get(name) for row in rows for name in ("customer_id", "anonymous_id")}

    def may_have_landed(self, table: str, rows: list[dict]) -> None:
        """Follows a batch whose answer was lost: it is there whole, or not at all."""
        self.counts["lost answers"] += 1
        landed = [model.copy() for model in self.candidates]
        for model in landed:
            model.land(table, rows)
        self.candidates += landed
        self.erased -= {row.get(name) for row in rows for name in ("customer_id", "anonymous_id")}

    # Erasure.

    def erase(self, customer: str, may_conflict: bool = False, attempts: int = 1) -> bool:
        """Erases a person and searches every file for the ids. Returns whether the person is gone."""
        ids = self.model.ids_of(customer)
        for _ in range(attempts):
            done = self.command("erase", "--store", STORE, "--customer", customer, "--yes", "--grace", "0")
            self.counts["erasures"] += 1
            if done.returncode == 0:
                break
        if done.returncode != 0:
            said = f"`tributary erase` ended with {done.returncode} after {attempts} attempts: {done.stderr or done.stdout}"
            if not may_conflict or done.returncode != CONFLICT:
                raise Failed(said)
            self.may_be_erased(customer)
            self.unfinished.add(customer)
            return False
        for model in self.candidates:
            model.erase(customer)
        self.rows.people = [person for person in self.rows.people if person not in ids]
        self.erased |= ids
        self.unfinished.discard(customer)
        self.search_erased(f"after `tributary erase` said {done.stdout.strip()}")
        return True

    def may_be_erased(self, customer: str) -> None:
        """Follows an erasure that did not finish: each table has lost the person's rows, or has them all."""
        found = []
        for model in self.candidates:
            parts = model.erased_parts(model.ids_of(customer))
            names = [name for name, keys in parts.items() if keys]
            for gone in itertools.chain.from_iterable(itertools.combinations(names, n) for n in range(len(names) + 1)):
                other = model.copy()
                for name in gone:
                    for key in parts[name]:
                        del other.tables[name][key]
                found.append(other)
        for model in list(found):
            forgotten = model.copy()
            ids = self.model.ids_of(customer)
            forgotten.refused = [raw for raw in model.refused if not any(json.dumps(name)[1:-1] in raw for name in ids)]
            if forgotten.refused != model.refused:
                found.append(forgotten)
        self.candidates = found

    def search_erased(self, when: str) -> None:
        """Looks for the ids of erased people in every byte of the lake."""
        if named := files.naming(self.place.files(), sorted(self.erased)):
            listed = "; ".join(f"{path} names {', '.join(ids)}" for path, ids in list(named.items())[:5])
            raise Failed(f"{len(named)} files name erased people {when}: {listed}")

    # Reading.

    def read(self, door: int) -> dict[str, list[tuple]]:
        """Reads every table through a door, as it is compared."""
        statements = {table: f"select * from {table}" for table in KEYS} | {"quarantine": "select raw from quarantine"}
        statements["orders"] = "select order_id, customer_id, ordered_at, status, revenue, utm_source from orders"
        found = {}
        for table, text in statements.items():
            if door != COMMAND_LINE:
                rows = client.sql(self.servers[door], text)
            else:
                done = self.command("sql", "--store", STORE, "--format", "json", "-c", text)
                # A store whose last row was erased is one that nobody knows.
                if done.returncode != 0 and f"unknown store {STORE}" not in done.stderr:
                    raise Failed(f"`tributary sql` ended with {done.returncode}: {done.stderr}")
                rows = json.loads(done.stdout)["data"] if done.returncode == 0 else []
            found[table] = sorted(row["raw"] for row in rows) if table == "quarantine" else comparable(table, rows)
        return found

    def verify(self, door: int | None = None) -> None:
        """Compares all rows with the model; then the lake is known to hold the candidate that agrees."""
        door = self.random.choice([0, 0, 0, 0, 0, 1, 1, 1, 1, 1, COMMAND_LINE]) if door is None else door
        seen = self.read(door)
        best: list[str] | None = None
        for model in self.candidates:
            wrong = [line for table in KEYS for line in differences(table, model.rows(table), seen[table])]
            if sorted(model.refused) != seen["quarantine"]:
                wrong.append(f"quarantine has {len(seen['quarantine'])} rows, not {len(model.refused)}")
            if not wrong:
                self.candidates = [model]
                self.counts["comparisons"] += 1
                return
            if best is None or len(wrong) < len(best):
                best = wrong
        raise Failed(f"door {door} answers other rows than the model has ({len(best)} differences): " + "; ".join(best[:6]))


def short(rows: list[dict]) -> str:
    """A batch as a line of a step list: ballast is only counted."""
    shown = [row for row in rows if row.get("utm_source") != "ballast"]
    text = json.dumps(shown, ensure_ascii=False)
    return text if len(text) < 1500 else text[:1500] + ".."
