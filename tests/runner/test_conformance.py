"""What is written anew keeps every rule, and each rule notices the driver that breaks it."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from labloop.campaign.errors import SpecError
from labloop.campaign.spec import read_lab
from labloop.runner.conformance import BROKEN, KEPT, Finding, examine
from labloop.runner.new import class_of, lab_with, new_driver, new_lab

ROOT = Path(__file__).parents[2]
Examined = Callable[..., list[Finding]]


@pytest.fixture
def examined(tmp_path: Path) -> Iterator[Examined]:
    """A new lab's driver, examined after ``old`` was put for ``new`` in it."""
    made: list[str] = []

    def examined(name: str, old: str = "", new: str = "", where: str = "drivers") -> list[Finding]:
        folder = tmp_path / name
        new_lab(folder)
        lab = folder / "lab.yaml"
        lab.write_text(lab.read_text().replace("thermostat", name).replace("Thermostat", class_of(name)))
        new_driver(name, folder)
        path = folder / where / f"{name}.py"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))
        importlib.invalidate_caches()
        made.append(str(folder))
        return list(examine(read_lab(lab), name))

    yield examined
    for folder in made:
        if folder in sys.path:
            sys.path.remove(folder)


def test_what_is_written_anew_keeps_every_rule(examined: Examined) -> None:
    found = examined("fresh")
    assert not [one for one in found if one.state == BROKEN]
    assert {one.rule for one in found if one.state == KEPT} == {
        "declared", "identified", "read", "limits", "on the wire", "actions", "asked", "stopped", "one byte",
        "wrong device", "faults", "reopened",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "rule", "old", "new"),
    [
        ("unlimited", "declared", "low=5.0, high=95.0", "low=5.0"),
        ("wordless", "declared", '"""Bring it to a temperature and go on controlling it there."""', ""),
        ("unscaled", "declared", 'unit="degC",', 'unit="degC", axis="cm-1",'),
        ("mover", "identified", "name = twice_alike(", 'self._ask("H 400"); name = twice_alike('),
        ("silent", "read", '{"temperature": Reading(value=self._temperature(), unit="degC")}', "{}"),
        ("kelvin", "read", 'unit="degC")}\n\n    def stop', 'unit="K")}\n\n    def stop'),
        ("forgetful", "asked", "!= str(round(wanted_c * 10))", '!= "no"'),
        ("deaf", "stopped", 'self._ask("H off")', 'self._ask("H?")'),
        ("greedy", "one byte", "    def reply", '    feed = lambda self, data: "err"\n\n    def reply'),
        ("trusting", "wrong device", 'name = twice_alike(lambda: self._ask("ID?"), "ID?")', "name = MODEL"),
        ("gullible", "faults", "self._steady.read(lambda: float(self._ask(\"T?\")), \"T?\")", 'float(self._ask("T?"))'),
        ("misnamed", "on the wire", 'return {"temperature": (round', 'return {"temprature": (round'),
        ("bare", "on the wire", "* 10) / 10,)}", "* 10) / 10)}"),
        ("hasty", "actions", "duration_s=WARM_S", "duration_s=WARM_S, least_s=WARM_S"),
        ("endless", "actions", "done=abs(reached_c - self._wanted / 10) <= WITHIN_K", "done=False"),
    ],
)  # fmt: skip
def test_each_rule_notices_who_breaks_it(examined: Examined, name: str, rule: str, old: str, new: str) -> None:
    broken = {one.rule: one for one in examined(name, old, new) if one.state == BROKEN}
    assert rule in broken and broken[rule].why


def test_a_driver_is_looked_for_in_the_lab_files_that_are_there(tmp_path: Path) -> None:
    assert lab_with("drivers.ika:RCT", ROOT / "campaigns" / "lab.yaml")[1] == "hotplate"
    assert lab_with("drivers.ika:RCT", None)[1] == "hotplate"
    with pytest.raises(SpecError, match="has no instrument with driver"):
        lab_with("drivers.no:No", ROOT / "campaigns" / "lab.yaml")


@pytest.mark.parametrize("name", ["PhMeter", "2nd", "ph-meter", "class", ""])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SpecError, match="no name of a module"):
        new_driver(name, tmp_path)


def test_nothing_is_written_over(tmp_path: Path) -> None:
    new_lab(tmp_path / "lab")
    before = {path: path.read_bytes() for path in (tmp_path / "lab").rglob("*.py")}
    with pytest.raises(SpecError, match="not empty"):
        new_lab(tmp_path / "lab")
    with pytest.raises(SpecError, match="there already"):
        new_driver("thermostat", tmp_path / "lab")
    with pytest.raises(SpecError, match="ships a driver"):
        new_driver("new_era", tmp_path / "lab")
    assert before == {path: path.read_bytes() for path in (tmp_path / "lab").rglob("*.py")}


BENCH = read_lab(Path(__file__).parents[2] / "campaigns" / "bench.yaml")
FIRST = {instrument.driver: name for name, instrument in reversed(BENCH.instruments.items())}


@pytest.mark.slow
@pytest.mark.parametrize("name", FIRST.values(), ids=FIRST)
def test_each_driver_of_the_shipped_bench_keeps_every_rule_as_it_stands_there(name: str) -> None:
    """What ``labloop conformance drivers.x:X`` prints where nobody names a lab."""
    assert [one for one in examine(BENCH, name) if one.state == BROKEN] == []
