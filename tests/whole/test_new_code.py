"""A run goes on with the code that it was begun with, or with another that a person has accepted, as a fact."""

from pathlib import Path

import pytest

from campaigns import QUICKSTART, records
from labloop.campaign import events as e
from labloop.campaign.errors import SpecError
from labloop.planner.inline import InlinePlanner
from labloop.runner import folder, session
from labloop.runner.parts import Parts

PARTS = Parts(planner=lambda spec, path: InlinePlanner(spec, path))


def test_changed_code_is_refused_until_it_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    real = folder.sources
    name = "drivers/new_era.py"
    with monkeypatch.context() as then:
        then.setattr(folder, "sources", lambda *given, **more: real(*given, **more) | {name: b"# as it was then\n"})
        order = session.Order(campaign=QUICKSTART, run=run, virtual=True, trials=1)
        assert session.begin(order, parts=PARTS) == 0
    began = len(records(run))
    with pytest.raises(SpecError, match=rf"(?s)--new-code.*--- {name} \(when the run began\).*-# as it was then"):
        session.resume(run, trials=1, parts=PARTS)
    assert len(records(run)) == began, "a refusal changes nothing"
    assert session.resume(run, trials=1, parts=PARTS, new_code=True, by="ann", why="a faster pump") == 0
    assert session.resume(run, trials=1, parts=PARTS) == 0, "what was accepted needs no second word"
    first, second, third = (record.event for record in records(run) if isinstance(record.event, e.RunStarted))
    assert (first.code, first.by) == ({}, "")
    assert name in second.code and (second.by, second.why) == ("ann", "a faster pump")
    assert third.code == {}
