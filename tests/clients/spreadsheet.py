"""Reads spreadsheets with openpyxl, as a person's tools would, from a running server: URL and key are the arguments."""

import datetime
import io
import sys
import urllib.request

import openpyxl

QUESTION = """
select 12.50 as money, cast('12345678901234.5678' as decimal(18, 4)) as long_money, 9007199254740993 as big, 42 as n,
       date '2026-03-01' as day, timestamp '2026-03-01T09:30:00.250' as at, date '1850-01-01' as early,
       cast('nan' as double) as nothing, 0.1 as tenth, true as yes, '=1+1' as formula, [1, 2] as list, null as missing
"""


def main(url: str, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "text/plain"}
    request = urllib.request.Request(f"{url}/v1/sql?format=xlsx", data=QUESTION.encode(), headers=headers)
    with urllib.request.urlopen(request) as answer:
        book = openpyxl.load_workbook(io.BytesIO(answer.read()))
    sheet = book.active
    assert sheet.freeze_panes == "A2", sheet.freeze_panes
    names = [cell.value for cell in sheet[1]]
    row = dict(zip(names, sheet[2]))
    values = {name: cell.value for name, cell in row.items()}
    expected = {
        "money": 12.5,
        "long_money": "12345678901234.5678",
        "big": "9007199254740993",
        "n": 42,
        "day": datetime.datetime(2026, 3, 1),
        "at": datetime.datetime(2026, 3, 1, 9, 30, 0, 250_000),
        "early": "1850-01-01",
        "nothing": None,
        "tenth": 0.1,
        "yes": True,
        "formula": "=1+1",
        "list": "[1,2]",
        "missing": None,
    }
    wrong = {name: (values.get(name), expected[name]) for name in expected if values.get(name) != expected[name]}
    assert not wrong, wrong
    assert row["formula"].data_type in ("s", "inlineStr"), row["formula"].data_type
    assert row["day"].is_date and row["at"].is_date
    print(f"{len(expected)} cells are what they should be")


main(sys.argv[1], sys.argv[2])
