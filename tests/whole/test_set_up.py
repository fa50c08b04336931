"""What setup did where a line was away is asked about where it is gone, and not where nothing can tell."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from solo import Solo
from test_aged import away
from test_kill_anywhere import memory_folder

from drivers.grbl import Stage
from drivers.keithley import K2400
from drivers.spectrometer import Spectrometer
from labloop.bench import Driver
from labloop.campaign import events as e


class SetUp(Solo):
    """Its instrument is set up first, and a lost line is waited for all day."""

    first: dict[str, Any]
    instead = "", ""  # what the trial's act is written as, and another one

    def _write(self) -> None:
        super()._write()
        for name, change in (
            ("lab.yaml", {"on_lost": {"retry_for": "1 d"}}), ("campaign.yaml", {"setup": [self.first]}),
        ):  # fmt: skip
            path = self.folder / name
            path.write_text(json.dumps(json.loads(path.read_text()) | change).replace(*self.instead))

    def _runs_the_step(self) -> bool:
        return super()._runs_the_step() and self.steps[-1].begun.trial is not None


MEASURED = {"it.measure_resistance": {"current": "1 mA", "voltage_limit": "10 V"}}


def forgets(it: Solo) -> None:
    """It remembers 200 acts, and whether one of setup is among them says nothing of what stands there."""
    it.device.acts.pop(next(iter(it.device.acts)))
    away(it)


@pytest.mark.parametrize(
    ("driver", "first", "befalls"),
    [(Stage, {"it.home": {}}, away), (K2400, MEASURED, away), (Spectrometer, {"it.rinse": {}}, forgets)],
)
def test_what_keeps_no_record_of_it_is_no_question(
    monkeypatch: pytest.MonkeyPatch, driver: type[Driver], first: dict[str, Any], befalls: Callable[[Solo], None]
) -> None:
    monkeypatch.setattr(SetUp, "first", first, raising=False)
    if driver is Spectrometer:
        said = '"trial": [{"it.'
        monkeypatch.setattr(SetUp, "instead", (said + 'rinse": {', said + 'measure": {"integration": "9 s"'))
    with memory_folder() as folder:
        at = 2 if driver is Spectrometer else 6
        it = SetUp(folder, driver, at=at, befalls=befalls)
        code = it.run()
        assert it.calls >= at and any(isinstance(one, e.InstrumentLost) for one in it.facts)
        assert [one.reason for one in it.facts if isinstance(one, e.CampaignPaused)] == []
        assert code == 0, it.said
