"""The steps of a schedule: what happens to a lake between two comparisons with the model."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import capabilities
import client
import processes
from answers import compare_journeys
from client import STORE
from model import KEYS
from processes import CONFLICT, Failed, Lost
from world import World

TABLES = ["orders", "orders", "orders", "touchpoints", "touchpoints", "refunds", "identities", "customers"]
STAGING_WAIT_S = 3.0
BURST_LANDINGS = 7
KEPT_FOR_A_MOMENT = {"TRIBUTARY_LAKE_KEEP_VERSIONS_FOR": "1s"}


def land(world: World) -> None:
    table = world.random.choice(TABLES)
    world.land(table, world.rows.batch(table, world.model))


def correct(world: World) -> None:
    """Lands a correction of a few rows."""
    table = world.random.choice(["orders", "touchpoints"])
    rows = [row for _ in range(3) if (row := world.rows.correction(table, world.model))]
    if rows:
        world.land(table, rows)


def refuse(world: World) -> None:
    """Lands a batch with a bad row, which goes to the quarantine."""
    # A new person: in the quarantine no column but the row as it came says who it was.
    person = world.rows.id(world.random.choice(["zq", "zoë"]))
    good, bad = world.rows.order(), world.rows.order(person) | {"ordered_at": "never"}
    server = world.servers[world.random.randrange(2)]
    world.note(f"land with a bad row: {client.ndjson([good, bad])}")
    answer = client.land(server, "orders", [good, bad], world.rows.id("key"), quarantine=True)
    if answer.status != 200 or answer.json()["quarantined"] != 1:
        raise Failed(f"a batch with one bad row was answered by {answer}")
    world.commit("orders", [good])
    for model in world.candidates:
        model.refuse([client.ndjson([bad]).decode().rstrip("\n")])
    world.erased.discard(bad["customer_id"])


def repeat(world: World) -> None:
    """Sends a batch again: the first receipt comes, and nothing lands."""
    if not world.sent:
        return land(world)
    door, table, rows, key, first = world.random.choice(world.sent)
    # A file is known by its bytes at the command line, a key at every server.
    door = door if door == 2 else world.random.randrange(2)
    world.note(f"land again in {table} by door {door} under {key}")
    again = world.deliver(door, table, rows, key)
    if again["batch_id"] != first["batch_id"] or again["rows"] != first["rows"]:
        raise Failed(f"a repeat got the receipt {again}, not {first}")
    if capabilities.wants("already_landed", capabilities.has_named_receipts(), "that a repeat is told so") and again.get("already_landed") is not True:
        raise Failed(f"a repeat is not told `already_landed`: {again}")


def misuse_key(world: World) -> None:
    """Sends another body under a known key: it is refused and lands nothing."""
    used = [entry for entry in world.sent if entry[0] != 2]
    if not used or not capabilities.wants("HTTP 422 for another body", capabilities.has_key_conflicts(), "another body under a known key"):
        return land(world)
    _, table, rows, key, _ = world.random.choice(used)
    other = [world.rows.changed(table, rows[0])] + rows[1:]
    if other == rows:
        return land(world)
    world.note(f"land another body in {table} under {key}")
    answer = client.land(world.servers[world.random.randrange(2)], table, other, key)
    if answer.status != 422:
        raise Failed(f"another body under a known Idempotency-Key was answered by {answer}")


def land_again(world: World) -> None:
    """Lands a file a second time on purpose: its rows are the newest again."""
    landed = [entry for entry in world.sent if entry[0] == 2]
    if not landed or not capabilities.wants("`land --again`", capabilities.has_land_again(), "landing a file a second time"):
        return land(world)
    _, table, rows, key, _ = world.random.choice(landed)
    world.note(f"land --again in {table} the file {key}")
    done = world.command("land", table, str(world.folder / f"{key}.ndjson"), "--store", STORE, "--again")
    if done.returncode != 0:
        raise Failed(f"`tributary land --again` ended with {done.returncode}: {done.stderr}")
    world.commit(table, rows)


def nightly(world: World) -> None:
    world.note("nightly")
    run_nightly(world)


def run_nightly(world: World) -> None:
    done = world.command("nightly")
    if done.returncode != 0:
        raise Failed(f"`tributary nightly` ended with {done.returncode}: {done.stderr.strip()}")


def nightly_twice(world: World) -> None:
    """Runs two nightly batches at once while both servers bring `journeys` up to date."""
    world.note("two nightly batches at once, and both servers ask for journeys")
    rows = [world.rows.order(), world.rows.touch()]
    world.land("orders", rows[:1], 0)
    world.land("touchpoints", rows[1:], 1)
    done: list = []
    work = [lambda: done.append(world.command("nightly"))] * 2 + [lambda n=n: client.sql(world.servers[n], "select count(*) from journeys") for n in range(2)]
    with ThreadPoolExecutor(len(work)) as pool:
        for future in [pool.submit(do) for do in work]:
            future.result()
    # Each may find that the other has rewritten a table that it was about to rewrite.
    if any(run.returncode not in (0, CONFLICT) for run in done):
        raise Failed(f"two nightly batches at once ended with {[run.returncode for run in done]}: {[run.stderr.strip() for run in done]}")
    world.verify()
    compare_journeys(world)


def vacuum(world: World) -> None:
    if not capabilities.wants("vacuum", capabilities.has_vacuum(), "`tributary vacuum`"):
        return nightly(world)
    world.note("vacuum")
    run_vacuum(world)


def run_vacuum(world: World) -> None:
    done = world.command("vacuum", **KEPT_FOR_A_MOMENT)
    if done.returncode != 0:
        raise Failed(f"`tributary vacuum` ended with {done.returncode}: {done.stderr.strip()}")


def erase(world: World) -> None:
    refused = sorted({json.loads(raw)["customer_id"] for raw in world.model.refused})
    person = world.random.choice(refused) if refused and world.random.random() < 0.5 else world.rows.person()
    world.note(f"erase {person}")
    world.erase(person)


def dashboard(world: World) -> None:
    """Asks for what dashboards show, which brings `journeys` up to date."""
    world.note("ask for journeys")
    client.sql(world.servers[world.random.randrange(2)], "select channel, count(*) from journeys group by channel")


def kill_server(world: World) -> None:
    """Kills a server while it lands. A sender without an answer sends again, or reads what has become of its rows."""
    number = world.random.randrange(2)
    server, other = world.servers[number], world.servers[1 - number]
    batches = [(table, world.rows.batch(table, world.model), world.rows.id("key")) for table in ("orders", "touchpoints")]
    delay_s, is_repeated = world.random.choice([0, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05]), world.random.random() < 0.5
    world.note(f"kill -9 server {number} after {delay_s} s of landing {batches}; the senders {'repeat' if is_repeated else 'give up'}")
    outcomes: list = [None, None]

    def send(n: int) -> None:
        try:
            outcomes[n] = client.land(server, batches[n][0], batches[n][1], batches[n][2])
        except Lost as error:
            outcomes[n] = error

    senders = [threading.Thread(target=send, args=(n,)) for n in range(2)]
    for sender in senders:
        sender.start()
    time.sleep(delay_s)
    server.kill()
    for sender in senders:
        sender.join()
    for (table, rows, key), outcome in zip(batches, outcomes, strict=True):
        if isinstance(outcome, Lost) and is_repeated:
            world.counts["lost answers"] += 1
            outcome = client.land(other, table, rows, key)
        if isinstance(outcome, Lost):
            world.may_have_landed(table, rows)
        elif outcome.status == 200:
            world.commit(table, rows)
        else:
            raise Failed(f"a landing in {table} was answered by {outcome}")
    world.counts["kills"] += 1
    server.start()
    world.verify()


def kill_command(world: World) -> None:
    """Kills a command at some instant of its work; what it did not finish is no visible change."""
    name = world.random.choice(["nightly", "nightly", "land", "erase", "erase"] + (["vacuum"] if capabilities.has_vacuum() else []))
    rows, delay_s = world.rows.batch("orders", world.model), world.random.uniform(0.02, 0.4)
    path = world.folder / f"{world.rows.id('file')}.ndjson"
    path.write_bytes(client.ndjson(rows))
    world.note(f"kill -9 `tributary {name}` after {delay_s:.3f} s" + (f" of landing {rows}" if name == "land" else ""))
    person = world.rows.person()
    arguments = {
        "land": ["land", "orders", str(path), "--store", STORE],
        "erase": ["erase", "--store", STORE, "--customer", person, "--yes", "--grace", "0"],
    }.get(name, [name])
    command = [processes.program(), "--data", world.place.url, *arguments]
    env = processes.environment(**world.place.env, **(KEPT_FOR_A_MOMENT if name == "vacuum" else {}))
    with open(world.folder / "commands.log", "a") as log:
        process = processes.start(command, log, stdout=log, cwd="/tmp", env=env)
    time.sleep(delay_s)
    code = processes.end(process)
    world.counts["kills"] += 1
    if name == "land":
        world.commit("orders", rows) if code == 0 else world.may_have_landed("orders", rows)
    elif code not in (0, -9):
        raise Failed(f"`tributary {name}` ended with {code}")
    if name == "erase":
        # An erasure that was cut short finds the person again.
        world.note(f"erase {person} again")
        world.erase(person)
    world.verify()


def slow_landing(world: World) -> None:
    """Holds back the end of a large body while other things happen to the same rows."""
    number = world.random.randrange(2)
    server, key = world.servers[number], world.rows.id("key")
    rows = world.rows.batch("orders", world.model)
    ballast = world.rows.ballast()
    world.note(f"begin a large body of orders by server {number} under {key}: {rows}")
    landing = client.SlowLanding(server, "orders", key)
    before = _data_file_count(world, "orders")
    for part in (rows, ballast[:50], ballast[50:-1]):
        landing.send(part)
    until = time.monotonic() + STAGING_WAIT_S
    while _data_file_count(world, "orders") == before and time.monotonic() < until:
        time.sleep(0.05)
    named = sorted({row["customer_id"] for row in rows})
    is_killed = _during_slow_landing(world, number, rows, named)
    world.note("end the large body")
    whole = rows + ballast
    try:
        landing.send(ballast[-1:])
        answer = landing.finish()
    except Lost:
        if not is_killed:
            raise Failed(f"the large body got no answer; {server.log_tail()}") from None
        world.may_have_landed("orders", whole)
        server.start()
    else:
        if answer.status == 200:
            world.check_receipt(answer.json(), whole)
            world.commit("orders", whole)
        elif answer.status == 409:
            world.note("the large body was refused: land again")
            world.counts["large bodies refused"] += 1
        else:
            raise Failed(f"a large body was answered by {answer}")
    world.verify()
    for person in sorted(world.unfinished):
        world.note(f"erase {person} again")
        world.erase(person)
    world.verify()


def _data_file_count(world: World, table: str) -> int:
    names = world.place.names()
    return sum(name.startswith(f"{table}/store_id={STORE}/") and name.endswith(".parquet") for name in names)


def _during_slow_landing(world: World, number: int, rows: list[dict], named: list[str]) -> bool:
    """Runs a few steps while a large body waits. Returns whether its server was killed."""
    names = world.random.choice([["correct", "nightly"], ["correct", "nightly", "vacuum"], ["erase"], ["correct", "erase"], ["kill"], ["nightly", "kill"]])
    for name in names:
        if name == "correct":
            corrected = [world.rows.changed("orders", row) for row in rows[:2]]
            # Through the command line or a server: both know nothing of the body that waits.
            world.land("orders", corrected)
        elif name == "nightly":
            nightly(world)
        elif name == "vacuum":
            vacuum(world)
        elif name == "erase":
            person = world.random.choice(named)
            world.note(f"erase {person}, whose order is in the large body")
            world.erase(person, may_conflict=True)
        elif name == "kill":
            world.note(f"kill -9 server {number}")
            world.servers[number].kill()
            world.counts["kills"] += 1
            return True
        world.verify(1 - number)
    return False


def burst(world: World) -> None:
    """Lands through both servers at once while commands rewrite the same tables."""
    table = world.random.choice(["orders", "touchpoints"])
    name = world.random.choice(["nightly", "erase", "erase"] + (["vacuum"] if capabilities.has_vacuum() else []))
    people = [world.rows.person() for _ in range(3)] if name == "erase" else []
    plans = [_burst_plan(world, table, sorted(world.model.tables[table])[n::2], set(people)) for n in range(2)]
    world.note(f"burst in {table} by both servers beside {name} {people or ''}: {[key for plan in plans for _, key in plan]}")
    failures: list[Exception] = []

    def send(n: int) -> None:
        try:
            for number, (rows, key) in enumerate(plans[n]):
                receipt = world.deliver(n, table, rows, key)
                world.check_receipt(receipt, rows)
                if number % 4 == 3:
                    _reads_own_write(world, 1 - n, table, rows)
        except (Failed, Lost) as error:
            failures.append(error)

    senders = [threading.Thread(target=send, args=(n,)) for n in range(2)]
    for sender in senders:
        sender.start()
    try:
        _beside_burst(world, name, people, senders)
    finally:
        for sender in senders:
            sender.join()
    if failures:
        raise Failed(f"during a burst: {failures[0]}")
    for plan in plans:
        for rows, _ in plan:
            world.commit(table, rows)
    world.verify()


def _burst_plan(world: World, table: str, keys: list[str], without: set[str]) -> list[tuple[list[dict], str]]:
    """Returns the batches of one sender: new rows, and corrections of keys that no other sender touches."""
    ids = {name for person in without for name in world.model.ids_of(person)}
    free = [key for key in keys if world.model.tables[table][key].row["customer_id"] not in ids]
    sender = world.rows.id("zq")
    plan = []
    for _ in range(BURST_LANDINGS):
        rows = [world.rows.order(sender) if table == "orders" else world.rows.touch(sender) for _ in range(2)]
        corrected = world.rows.correction(table, world.model, free)
        if corrected:
            rows.append(corrected | {"customer_id": sender})
        plan.append((rows, world.rows.id("key")))
    return plan


def _reads_own_write(world: World, door: int, table: str, rows: list[dict]) -> None:
    """Looks for rows that were just acknowledged through the other server."""
    key, keys = KEYS[table], sorted({row[KEYS[table]] for row in rows})
    listed = ", ".join(f"'{name}'" for name in keys)
    found = client.sql(world.servers[door], f"select {key} as key from {table} where {key} in ({listed})")
    if sorted(row["key"] for row in found) != keys:
        raise Failed(f"acknowledged rows {keys} were read as {sorted(row['key'] for row in found)}")


def _beside_burst(world: World, name: str, people: list[str], senders: list[threading.Thread]) -> None:
    if name == "erase":
        for person in people:
            world.erase(person, attempts=3)
        return
    run = run_nightly if name == "nightly" else run_vacuum
    run(world)
    while any(sender.is_alive() for sender in senders):
        run(world)


STEPS = {
    land: 8, correct: 5, refuse: 3, repeat: 3, misuse_key: 2, land_again: 1, nightly: 3, nightly_twice: 1, vacuum: 2, erase: 4,
    dashboard: 1, kill_server: 3, kill_command: 2, slow_landing: 2, burst: 3,
}  # fmt: skip
