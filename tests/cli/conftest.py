"""The command line as a test calls it: in this process, in a folder of its own."""

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

HOUSE = Path(__file__).parents[2]
LAB = HOUSE / "campaigns" / "lab.yaml"
QUICKSTART = HOUSE / "campaigns" / "quickstart.yaml"

# A campaign to ask and tell, without bench or model: small, and quick to plan (no fit before five results).
TOLD = """\
labloop: 1
campaign: cake
parameters:
  sugar: {range: [10, 90], unit: g}
  oven: {range: [150, 220], unit: degC, step: 10}
  flour: {choices: [wheat, rye, spelt]}
outcomes:
  height: {goal: maximize, unit: mm}
design: {initial: {method: sobol, trials: 20}, seed: 3}
budget: {trials: 30}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)


Call = Callable[..., Said]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to stand in; nothing of the user's is touched."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("USER", "ann")
    monkeypatch.setenv("LOGNAME", "ann")
    (tmp_path / "cake.yaml").write_text(TOLD)
    return tmp_path


@pytest.fixture
def labloop(here: Path) -> Call:
    """Call a verb; a traceback fails the test."""
    from labloop.cli.app import app

    def call(*arguments: object, input: str | None = None) -> Said:
        said = CliRunner().invoke(app, [str(one) for one in arguments], input=input)
        if said.exception is not None and not isinstance(said.exception, SystemExit):
            raise said.exception
        return Said(code=said.exit_code, out=said.stdout, err=said.stderr)

    return call


def begun(folder: Path, campaign: str, *verbs: str) -> Path:
    """The run r of a campaign, told by ``verbs``, one after the other; made once, and copied by those who go on."""
    from labloop.cli.app import app

    (folder / "c.yaml").write_text(campaign)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        for verb in verbs:
            said = CliRunner().invoke(app, shlex.split(verb))
            assert said.exit_code == 0, said.stderr
    return folder / "r"


@pytest.fixture
def bench(here: Path) -> Path:
    """A folder with the shipped campaign and lab, to be spoiled: quickstart.yaml and lab.yaml stand in it."""
    for name in ("quickstart.yaml", "lab.yaml", "target_spectrum.csv", "agnp.csv", "agnp.raw.csv", "agnp.fit.json"):
        (here / name).write_bytes((LAB.parent / name).read_bytes())
    with (here / "lab.yaml").open("a") as lab:
        lab.write(f"\nroot: {HOUSE}\n")
    return here
