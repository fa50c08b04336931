"""``labloop replay``."""

from pathlib import Path
from typing import Any

import msgspec

from labloop.planner.planner import plan


def test_a_run_is_replayed(here: Path, labloop: Any, monkeypatch: Any) -> None:
    (here / "cake.yaml").write_text((here / "cake.yaml").read_text().replace("trials: 20", "trials: 2"))
    for number in (1, 2):
        labloop("ask", "cake.yaml", "--run", "r")
        labloop("tell", "r", number, f"height={number}")
    labloop("ask", "cake.yaml", "--run", "r", "-n", 2)
    said = labloop("replay", "r")
    assert (said.code, said.out) == (0, "4 proposals: 4 the same to the last bit\n")
    document = labloop("replay", "r", 3, "--json").document
    assert document["counts"] == {"same": 1, "close": 0, "differs": 0, "none": 0}
    assert document["proposals"] == [{"trial": 3, "source": "model", "verdict": "same", "words": ""}]
    assert labloop("replay", "r", 9).code == 2

    def another(*asked: Any) -> list[Any]:
        return [msgspec.structs.replace(one, settings=one.settings | {"oven": 149}) for one in plan(*asked)]

    monkeypatch.setattr("labloop.study.replay.plan", another)
    monkeypatch.setattr("labloop.__version__", "9.9")
    other = labloop("replay", "r", 3)
    then = document_of(labloop("trials", "r", "--format", "json"), 3)["settings"]["oven"]
    assert other.code == 1 and f"trial 3  with other settings: oven {then} -> 149" in other.out
    assert "1 proposals: 0 the same" in other.out and "made by labloop 0.1.0; this is 9.9" in other.out


def document_of(said: Any, number: int) -> Any:
    (trial,) = [one for one in said.document["trials"] if one["trial"] == number]
    return trial
