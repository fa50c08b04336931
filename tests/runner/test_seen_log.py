"""What was read last, as a file beside the journal."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from labloop.campaign.events import Reading
from labloop.runner.seen_log import SeenLog

AT = "2026-03-02T08:00:00.000+00:00"


def told(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())["instruments"]
    return found


def test_the_last_value_of_each_reading_is_there_with_its_time(tmp_path: Path) -> None:
    now = [datetime.fromisoformat(AT)]
    seen = SeenLog(tmp_path / "seen.json", now=lambda: now[0])
    seen.hear("plate", {"temperature": Reading(value=41.0, unit="degC"), "speed": Reading(value=0.0, unit="rpm")})
    now[0] = datetime(2026, 3, 2, 8, 0, 2, tzinfo=UTC)
    seen.hear("plate", {"temperature": Reading(value=41.5, unit="degC")})
    seen.hear("eye", {"spectrum": Reading(value=None, blob="0" * 64, length=2048)})
    seen.write()
    assert told(tmp_path / "seen.json") == {
        "plate": {
            "temperature": {"value": 41.5, "unit": "degC", "at": "2026-03-02T08:00:02.000+00:00"},
            "speed": {"value": 0.0, "unit": "rpm", "at": AT},
        }
    }


def test_what_json_does_not_have_ends_no_run_and_leaves_the_last_value_there(tmp_path: Path) -> None:
    seen = SeenLog(tmp_path / "seen.json")
    said: list[Any] = [41.0, float("nan"), float("inf"), np.float32("nan"), 10**400, [1.0, 2.0], 1j, b"41"]
    for value in said:
        seen.hear("plate", {"temperature": Reading(value=value)})
    counts: list[Any] = [np.float32(0.5), np.int64(3), 10**12, True, "open"]
    seen.hear("counter", {str(number): Reading(value=value) for number, value in enumerate(counts)})
    seen.write()
    found = told(tmp_path / "seen.json")
    assert found["plate"]["temperature"]["value"] == 41.0
    assert [one["value"] for one in found["counter"].values()] == [0.5, 3.0, 10**12, True, "open"]


def test_it_is_written_when_something_was_read_and_not_more_often(tmp_path: Path) -> None:
    now_s, path = [0.0], tmp_path / "seen.json"
    seen = SeenLog(path, lambda: now_s[0])
    seen.look()
    assert not path.exists(), "nothing was read"
    seen.hear("plate", {"temperature": Reading(value=41.0)})
    now_s[0] = 0.5
    seen.look()
    assert not path.exists(), "it is not a second since"
    now_s[0] = 1.0
    seen.look()
    assert path.exists()
    path.unlink()
    now_s[0] = 9.0
    seen.look()
    assert not path.exists(), "nothing was read since"


def test_a_folder_that_takes_no_file_stops_nothing(tmp_path: Path) -> None:
    path = tmp_path / "gone" / "seen.json"
    seen = SeenLog(path)
    seen.hear("plate", {"temperature": Reading(value=41.0)})
    seen.write()
    path.parent.mkdir()
    seen.write()
    assert told(path)["plate"]["temperature"]["value"] == 41.0, "what could not be written is written later"
