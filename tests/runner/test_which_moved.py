"""Each instrument moves a little, and a person says which one it was."""

from pathlib import Path

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
