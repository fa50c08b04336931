"""Each instrument moves a little, and a person says which one it was."""

from pathlib import Path

import pytest

from drivers.ika import RCT
from labloop.campaign.spec import read_lab
from labloop.runner import which_moved
from labloop.runner.by_hand import hand_bench

LAB = Path(__file__).parents[2] / "campaigns" / "lab.yaml"


def test_crossed_cables_are_found_and_named() -> None:
    crossed = {"pump_pva": "pump_tsc", "pump_tsc": "pump_pva", "pump_seed": which_moved.NOTHING}
    with hand_bench(read_lab(LAB), live=False) as bench:
        asked: list[str] = []
        speeds: list[float] = []

        def which(move: which_moved.Move) -> str:
            asked.append(move.instrument)
            if move.instrument == "hotplate":
                stirrer = bench.lab.instruments["hotplate"]
                speeds.append(stirrer.port.submit(stirrer.driver.read).result()["speed"].value)
            return crossed.get(move.instrument, move.instrument)

        saw = which_moved.walk(bench, "ann", which)
        assert asked == ["pump_agno3", "pump_pva", "pump_tsc", "pump_seed", "pump_water", "hotplate"]
        assert [one.instrument for one in saw if not one.right] == list(crossed)
        said = which_moved.complaints(bench, saw)
        assert len(said) == 3 and "lab.yaml:5:17: instruments.pump_pva: pump_tsc moved" in said[0]
        assert "nothing moved" in said[2]
        assert speeds == [0.0], "it is stopped after its move"


def test_what_is_at_something_is_left_alone_and_the_others_move(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RCT, "at_work", lambda self: "it heats")
    stopped: list[str] = []
    monkeypatch.setattr(RCT, "stop", lambda self: stopped.append("hotplate"))
    with hand_bench(read_lab(LAB), live=False) as bench:
        saw = which_moved.walk(bench, "ann", lambda move: move.instrument)
        assert [one.instrument for one in saw if one.right] == [
            "pump_agno3", "pump_pva", "pump_tsc", "pump_seed", "pump_water",
        ]  # fmt: skip
        assert [one.failed for one in saw if not one.right] == ["hotplate was left alone: it heats"]
        assert not stopped, "stop() would have ended what it is at"


def test_what_has_no_stock_for_its_move_is_left_alone_and_the_others_move(tmp_path: Path) -> None:
    lab = tmp_path / "lab.yaml"
    pump = LAB.read_text().splitlines()[4].replace("stock: 10 mL", "stock: 1 uL")
    plate = next(line for line in LAB.read_text().splitlines() if "hotplate:" in line)
    lab.write_text(f"labloop: 1\nroot: {LAB.parents[1]}\ninstruments:\n{pump}\n{plate}\n")
    with hand_bench(read_lab(lab), live=False) as bench:
        saw = which_moved.walk(bench, "ann", lambda move: move.instrument)
        assert [(one.instrument, one.right) for one in saw] == [("pump_pva", False), ("hotplate", True)]
        assert "Nothing was sent" in saw[0].failed
