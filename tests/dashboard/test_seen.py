"""What instruments were seen to read last: with its age, and beside what was asked for."""

import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from labloop.campaign.events import Amount
from labloop.dashboard import doing
from labloop.dashboard.seen import SEEN, Seen, SeenWatch
from labloop.dashboard.source import RunSource
from labloop.runner.seen_log import SEEN as WRITTEN

from . import journals

AT = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


def write(run: Path, value: object, at: datetime = AT) -> None:
    one = {"value": value, "unit": "degC", "at": at.isoformat()}
    path = run / "seen.part"
    path.write_text(json.dumps({"schema": 1, "instruments": {"plate": {"temperature": one}}}))
    path.rename(run / SEEN)  # whole, and another file each time, as the runner writes it


def test_it_is_the_file_that_the_runner_writes() -> None:
    assert SEEN == WRITTEN


def test_the_course_grows_with_each_reading_and_not_with_each_look(tmp_path: Path) -> None:
    watch = SeenWatch()
    watch.poll(tmp_path)
    assert watch.readings == {}
    for second, value in ((0, 40.0), (1, 41.0), (1, 41.0)):
        write(tmp_path, value, AT + timedelta(seconds=second))
        watch.poll(tmp_path)
        watch.poll(tmp_path)
    one = watch.readings["plate"]["temperature"]
    assert (one.value, one.unit, one.course) == (41.0, "degC", (40.0, 41.0))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"instruments": {"plate": 3}}',
        '{"instruments": {"a": {"b": {"value": 1, "unit": "", "at": "x"}}}}',
        '{"instruments": {"a": {"b": {"value": 1, "unit": "", "at": "0001-01-01T00:00:00+14:00"}}}}',
        pytest.param("[" * 200_000, id="deep"),
    ],
)
def test_what_makes_no_sense_is_not_shown_and_what_was_there_stays(tmp_path: Path, text: str) -> None:
    watch = SeenWatch()
    write(tmp_path, 40.0)
    watch.poll(tmp_path)
    (tmp_path / SEEN).unlink()
    (tmp_path / SEEN).write_text(text)
    watch.poll(tmp_path)
    assert watch.readings["plate"]["temperature"].value == 40.0


def test_a_reading_that_is_no_number_leaves_the_last_one_there(tmp_path: Path) -> None:
    watch = SeenWatch()
    write(tmp_path, math.inf)
    watch.poll(tmp_path)
    assert watch.readings == {"plate": {}}
    for second, value in enumerate((40.0, math.nan, 41.0)):
        write(tmp_path, value, AT + timedelta(seconds=second))
        watch.poll(tmp_path)
    assert watch.readings["plate"]["temperature"].course == (40.0, 41.0)


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "now"), (4, "now"), (9, "9 s ago"), (12, "12 s ago"), (7300, "2 h 01 min ago")]
)
def test_a_value_that_nobody_renews_says_how_old_it_is(seconds: int, words: str) -> None:
    assert Seen(1.0, "degC", AT, (1.0,)).age(AT + timedelta(seconds=seconds)) == words


@pytest.mark.parametrize(
    ("read_s", "words"),
    [
        (600, "temperature 41.2 of 60 degC; about 50 min; time 40 min"),
        (590, "temperature 41.2 of 60 degC (10 s ago); about 50 min; time 40 min"),
        (-1, "about 50 min; temperature 60 degC, time 40 min"),
    ],
)
def test_a_long_hold_says_how_far_it_is_by_what_was_read_since_it_began(written, read_s: int, words: str) -> None:
    folder, now = written(journals.running)
    source = RunSource(folder, lambda: now, lambda run: "alive")
    source.poll(10**6)
    source.close()
    step = source.current["pump_agno3"]
    begun = replace(
        step.begun, expected_s=3000.0, settings={"temperature": Amount(60.0, "degC"), "time": Amount(40, "min")}
    )
    current = {"hotplate": replace(step, begun=begun)}
    state = source.state
    state.instruments["hotplate"] = "hold"
    began = datetime.fromisoformat(step.started)
    at, looked = began + timedelta(seconds=read_s), began + timedelta(seconds=600)
    seen = {"hotplate": {"temperature": Seen(41.2, "degC", at, (41.2,)), "plate": Seen(90.0, "degC", at, (90.0,))}}
    rows = doing.instrument_rows(["hotplate"], state, current, "alive", looked, seen)
    assert [row.doing for row in rows if row.name == "hotplate"] == [words]
