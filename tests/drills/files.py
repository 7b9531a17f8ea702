"""The files of a lake in a folder: what is on disk, what the logs say, and whether any byte names somebody."""

import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

LOG = "_delta_log"


def tables(lake: Path) -> list[str]:
    return sorted(folder.parent.name for folder in lake.glob(f"*/{LOG}"))


def data_files(lake: Path, table: str = "*", store: str = "*") -> list[Path]:
    """Returns the data files on disk, also those that no version has."""
    return sorted(lake.glob(f"{table}/store_id={store}/**/*.parquet"))


def log_entries(lake: Path, table: str) -> dict[int, list[dict]]:
    """Returns the actions of each version that is on disk as a commit."""
    entries = {}
    for path in sorted((lake / table / LOG).glob("*.json")):
        if re.fullmatch(r"\d{20}\.json", path.name):
            entries[int(path.stem)] = [json.loads(line) for line in path.read_text().splitlines() if line]
    return entries


def live_paths(entries: dict[int, list[dict]]) -> set[str]:
    """Returns the files of the newest version, from a log that has all of its commits."""
    live: set[str] = set()
    for version in sorted(entries):
        for action in entries[version]:
            if "remove" in action:
                live.discard(action["remove"]["path"])
        for action in entries[version]:
            if "add" in action:
                live.add(action["add"]["path"])
    return live


def log_faults(entries: dict[int, list[dict]], first: int = 0) -> list[str]:
    """Lists what no sound log has: a gap in the versions, or a path that is added twice."""
    faults, added = [], {}
    expected = list(range(first, first + len(entries)))
    if sorted(entries) != expected:
        faults.append(f"the log's versions have a gap: {sorted(set(expected) ^ set(entries))[:5]}")
    for version in sorted(entries):
        for action in entries[version]:
            if "add" in action:
                path = action["add"]["path"]
                if path in added:
                    faults.append(f"{path} is added by the versions {added[path]} and {version}")
                added[path] = version
    return faults


def naming(lake: Path, ids: list[str], store: str = "*") -> dict[str, list[str]]:
    """Returns, for each file of a lake that names one of the ids anywhere, which ids it names.

    Parquet is searched decoded and as bytes: its footer holds least and greatest values as they are.
    """
    if not ids:
        return {}
    # An id may stand as it is, or escaped as JSON has it.
    forms = {form: name for name in ids for form in (name, json.dumps(name)[1:-1])}
    raw = re.compile(b"|".join(re.escape(form.encode()) for form in forms))
    found = {}
    for path in sorted(lake.rglob("*")):
        relative = str(path.relative_to(lake))
        if not path.is_file() or (store != "*" and "store_id=" in relative and f"store_id={store}/" not in relative):
            continue
        try:
            content = path.read_bytes()
            named = {forms[match.decode()] for match in raw.findall(content)}
            if content[:4] == b"PAR1" and content[-4:] == b"PAR1":
                named |= _named_in_parquet(path, forms)
        except FileNotFoundError:
            continue  # The file was deleted while the folder was read.
        if named:
            found[relative] = sorted(named)
    return found


def _named_in_parquet(path: Path, forms: dict[str, str]) -> set[str]:
    pattern = "|".join(re.escape(form) for form in forms)
    named = set()
    for column in pq.read_table(path, partitioning=None).columns:
        for texts in _texts(column):
            hits = texts.filter(pc.match_substring_regex(texts, pattern))
            for text in hits.to_pylist():
                named |= {name for form, name in forms.items() if form in text}
    return named


def _texts(column: pa.ChunkedArray):
    """Yields every array of texts inside a column, however deep."""
    for chunk in column.chunks:
        yield from _texts_of_array(chunk)


def _texts_of_array(array: pa.Array):
    kind = array.type
    if pa.types.is_dictionary(kind):
        yield from _texts_of_array(array.dictionary)
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        yield array.cast(pa.large_string())
    elif pa.types.is_struct(kind):
        for child in array.flatten():
            yield from _texts_of_array(child)
    elif pa.types.is_map(kind):
        yield from _texts_of_array(array.keys)
        yield from _texts_of_array(array.items)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        yield from _texts_of_array(array.values)
