"""The table of faults names tests that are there, and leaves no fault out."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "faults.md").read_text()
ROWS = re.findall(r"^\| (F\d+) \| (.*) \|(.*)\|$", PAGE, re.M)
NAMED = re.compile(r"`(tests/[\w/.]+?)(?:::(\w+))?`")


def test_every_fault_has_a_row() -> None:
    assert [number for number, *_ in ROWS] == [f"F{n}" for n in range(1, 42)]
    for number, said, held in ROWS:
        assert NAMED.search(held) or "**not" in said, f"{number}: held by nothing, and does not say so"


def test_every_test_that_is_named_is_there() -> None:
    named = [found for _, _, held in ROWS for found in NAMED.findall(held)]
    assert len(named) > 60
    for path, test in named:
        assert (ROOT / path).exists(), path
        assert not test or re.search(rf"^def {test}\(", (ROOT / path).read_text(), re.M), f"{path} has no {test}"
