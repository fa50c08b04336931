"""A simulated run's own instruments: what cannot be loaded or built is said before a run is begun."""

from pathlib import Path

import pytest

from labloop.campaign.errors import SpecError
from labloop.campaign.spec import read_lab, read_spec
from labloop.runner.check import check
from labloop.runner.folder import Order, create

CAMPAIGN = """\
labloop: 1
campaign: weighing
lab: lab.yaml
parameters: {x: {range: [0, 1]}}
outcomes: {m: {goal: maximize, from: m}}
trial: [{balance.weigh: {save_as: m}}]
budget: {trials: 2}
"""
ERRS = "class X:\n    def __init__(self, *words): raise {}"
DRIVER = "drivers.mettler_toledo:MTSICS"


def written(folder: Path, simulator: str, code: str = "", port: str = "serial:///dev/ttyUSB9") -> Path:
    """A folder with a lab of one balance, its simulator's module, and a campaign."""
    (folder / "simulators").mkdir()
    (folder / "simulators" / f"{folder.name}.py").write_text(code)
    (folder / "lab.yaml").write_text(
        f"labloop: 1\nname: b\ninstruments:\n  balance:\n    driver: {DRIVER}\n"
        + (f"    simulator: {simulator}\n" if simulator else "")
        + (f"    port: {port}\n" if port else "")
    )
    (folder / "c.yaml").write_text(CAMPAIGN)
    return folder / "c.yaml"


@pytest.mark.parametrize(
    ("code", "place", "words"),
    [
        (None, "6:16: instruments.balance.simulator", "there is no module"),
        ("import nosuchthing", "6:16: instruments.balance.simulator", "needs nosuchthing, which is not installed"),
        ("x = = 3", "6:16: instruments.balance.simulator", "invalid syntax"),
        ("1 / 0", "6:16: instruments.balance.simulator", "ZeroDivisionError"),
        ("x = 3", "6:16: instruments.balance.simulator", "has no class X"),
        (ERRS.format("ValueError('no such pan')"), "4:3: instruments.balance", "no such pan"),
        (ERRS.format("TypeError('odd')"), "4:3: instruments.balance", "TypeError('odd')"),
    ],
)
def test_a_simulator_that_cannot_be_had_is_refused_before_a_run_is_begun(
    tmp_path_factory: pytest.TempPathFactory, code: str | None, place: str, words: str
) -> None:
    folder = tmp_path_factory.mktemp("odd_simulator")  # a name of its own: modules are imported once
    module = f"simulators.{folder.name}" if code is not None else "simulators.nope"
    path = written(folder, f"{module}:X", code or "")
    (complaint,) = check(read_spec(path), read_lab(folder / "lab.yaml")).complaints
    assert f"{folder / 'lab.yaml'}:{place}" in complaint
    assert words in complaint
    assert check(read_spec(path), read_lab(folder / "lab.yaml"), live=True).complaints == []
    with pytest.raises(SpecError, match="balance"):
        create(Order(campaign=path, run=folder / "run"))
    assert not (folder / "run").exists()


def test_an_instrument_without_a_simulator_is_a_warning_and_no_simulated_run_is_begun(tmp_path: Path) -> None:
    path = written(tmp_path, "")
    plan = check(read_spec(path), read_lab(tmp_path / "lab.yaml"))
    assert plan.complaints == []
    (warning,) = plan.warnings
    assert "instruments.balance has no simulator, so it can be run with --live only" in warning
    assert check(read_spec(path), read_lab(tmp_path / "lab.yaml"), live=True).warnings == []
    with pytest.raises(SpecError, match="has no simulator"):
        create(Order(campaign=path, run=tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_port_that_is_missing_is_said_without_live_too(tmp_path: Path) -> None:
    path = written(tmp_path, "simulators.mettler_toledo:MTSICS", port="")
    (complaint,) = check(read_spec(path), read_lab(tmp_path / "lab.yaml")).complaints
    assert "instruments.balance.port is missing" in complaint
