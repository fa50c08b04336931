"""From a shell: a trial added and edited, a result marked as wrong, and what the next shift is told."""

import csv
import io
import re
from collections import Counter
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from labloop.campaign.errors import SpecError
from labloop.cli.since import moment
from labloop.runner.requests import VERBS


def test_every_request_stands_in_the_help(labloop: Any) -> None:
    said = Counter(re.findall(r"[a-z]+", labloop("request", "--help").out))
    assert [verb for verb in VERBS if said[verb] < 2] == [], "once with what it wants, once among all names"


def test_a_person_adds_edits_and_corrects(here: Path, labloop: Any) -> None:
    labloop("ask", "cake.yaml", "--run", "r", "-n", "2")
    added = labloop("request", "r", "add", "sugar=50 g", "oven=200", "flour=rye", "--by", "ann", "--why", "as at home")
    assert added.code == 0 and "trial 3: sugar 50 g, oven 200 degC, flour rye" in added.out
    edited = labloop("request", "r", "edit", "1", "sugar=20", "--json").document
    assert edited["accepted"] is True and edited["message"].startswith("trial 4 in the place of trial 1: sugar 20 g")
    for trial, height in ((2, 40), (3, 90), (4, 60)):
        assert labloop("tell", "r", str(trial), f"height={height}").code == 0
    trials = labloop("trials", "r", "--json").document["trials"]
    assert [one["state"] for one in trials] == ["abandoned", "measured", "measured", "measured"]
    assert [one["source"] for one in trials] == ["sobol", "sobol", "human", "human"]
    assert trials[2]["why"] == "added by ann: as at home"
    assert labloop("status", "r", "--json").document["best"]["trial"] == 3

    refused = labloop("request", "r", "wrong", "3")
    assert refused.code == 2 and "only with a reason" in refused.out
    assert labloop("request", "r", "wrong", "3", "--by", "ann", "--why", "wrong ruler").code == 0
    status = labloop("status", "r", "--json").document
    assert status["best"]["trial"] == 4 and status["budget_left"]["trials"] == 27
    (marked,) = labloop("trials", "r", "--json").document["trials"][2]["withdrawn"]
    assert marked == {"outcome": None, "by": "ann", "why": "wrong ruler"}
    assert "marked as wrong by ann: wrong ruler" in labloop("trials", "r").out
    assert ", measured 90 mm, not believed: marked as wrong by ann: wrong ruler" in labloop("why", "r", "3").out
    rows = list(csv.DictReader(io.StringIO(labloop("trials", "r", "--format", "csv").out)))
    assert [row["height.flag"] for row in rows] == ["", "", "marked as wrong by ann: wrong ruler", ""]

    assert labloop("request", "r", "note", "the", "oven", "smells", "--by", "bob").code == 0
    said = labloop("status", "r", "--since", "1 h").out
    assert "since " in said and "3 measured" in said and "1 abandoned" in said and "another is best" in said
    assert "trial 3 marked as wrong by ann: wrong ruler" in said and "note by bob: the oven smells" in said
    assert said.count("oven smells") == 2, "asked for, and taken"
    told = labloop("status", "r", "--since", "1 h", "--json").document["since"]
    assert told["trials"] == {"abandoned": 1, "measured": 3} and told["best_then"] is None
    assert told["best_now"]["trial"] == 4 and told["facts"][-1]["text"] == "note by bob: the oven smells"
    later = labloop("status", "r", "--since", (datetime.now() + timedelta(hours=1)).isoformat())
    assert (
        "no trial ended" in later.out
        and "nothing else happened" in later.out
        and "the best is what it was" in later.out
    )
    assert labloop("request", "r", "right", "3").code == 0
    assert labloop("status", "r", "--json").document["best"]["trial"] == 3


NOW = datetime(2026, 11, 26, 7, 30, tzinfo=timezone(timedelta(hours=1)))


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("18:00", "2026-11-25T18:00:00+01:00"),
        ("6:15", "2026-11-26T06:15:00+01:00"),
        ("90 min", "2026-11-26T06:00:00+01:00"),
        ("2h", "2026-11-26T05:30:00+01:00"),
        ("2026-11-20T08:00", "2026-11-20T08:00:00+01:00"),
        ("2026-11-20T08:00:00+00:00", "2026-11-20T08:00:00+00:00"),
    ],
)
def test_a_moment(written: str, found: str) -> None:
    assert moment(written, NOW).isoformat() == found


@pytest.mark.parametrize("written", ["yesterday", "25:00", "18:00:99x", "", "9" * 400 + " h"])
def test_what_is_no_moment_says_how_to_write_one(written: str) -> None:
    with pytest.raises(SpecError, match=r"--since .*18:00"):
        moment(written, NOW)
