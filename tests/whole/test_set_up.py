"""What setup did where a line was away is asked about where it is gone, and not where nothing can tell."""

import json
from typing import Any

import pytest
from solo import Solo
from test_aged import away
from test_kill_anywhere import memory_folder

from drivers.grbl import Stage
from drivers.keithley import K2400
from labloop.bench import Driver
from labloop.campaign import events as e


class SetUp(Solo):
    """Its instrument is set up first, and a lost line is waited for all day."""

    first: dict[str, Any]

    def _write(self) -> None:
        super()._write()
        for name, change in (
            ("lab.yaml", {"on_lost": {"retry_for": "1 d"}}), ("campaign.yaml", {"setup": [self.first]}),
        ):  # fmt: skip
            path = self.folder / name
            path.write_text(json.dumps(json.loads(path.read_text()) | change))

    def _runs_the_step(self) -> bool:
        return super()._runs_the_step() and self.steps[-1].begun.trial is not None


MEASURED = {"it.measure_resistance": {"current": "1 mA", "voltage_limit": "10 V"}}


@pytest.mark.parametrize(("driver", "first"), [(Stage, {"it.home": {}}), (K2400, MEASURED)])
def test_what_keeps_no_record_of_it_is_no_question(
    monkeypatch: pytest.MonkeyPatch, driver: type[Driver], first: dict[str, Any]
) -> None:
    monkeypatch.setattr(SetUp, "first", first, raising=False)
    with memory_folder() as folder:
        it = SetUp(folder, driver, at=6, befalls=away)
        code = it.run()
        assert it.calls >= 6 and any(isinstance(one, e.InstrumentLost) for one in it.facts)
        assert [one.reason for one in it.facts if isinstance(one, e.CampaignPaused)] == []
        assert code == 0, it.said
