"""A start that waited for the runner that had its run, and what was said to that one meanwhile."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from reach import Reach

from labloop.campaign import events as e
from labloop.campaign.errors import StateError
from labloop.cli import run
from labloop.journal import Journal, Presence, inbox
from labloop.runner import session, wishes
from labloop.runner.clock import utc_stamp
from labloop.runner.loop import Loop
from labloop.runner.preview import look_at

RUN = """
    trial:
      - pump_a.dispense: {rate: $q, time: 4 s}
    budget: {trials: 1}
"""


def waited_for(monkeypatch: pytest.MonkeyPatch, deed: Callable[[], object]) -> None:
    """Whoever takes a run's folder from now on had to wait, and ``deed`` was done before it was let in."""

    def later(folder: Path, **how: Any) -> Presence:
        deed()
        return Presence(folder, **how)

    monkeypatch.setattr(session, "Presence", later)


@pytest.fixture
def reach(tmp_path: Path) -> Reach:
    reach = Reach(tmp_path, "", RUN)
    assert reach.run() == 0
    return reach


@pytest.mark.parametrize("word", ["abort", "stop"])
def test_who_stopped_the_run_meanwhile_is_not_gainsaid(
    reach: Reach, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    run = reach.folder / "run"

    def stopped() -> None:
        with Journal.open(run / "journal.db", utc_stamp) as journal:
            journal.append(e.Requested(id="1", request=word, by="ann"), e.RequestAnswered(id="1", accepted=True))

    waited_for(monkeypatch, stopped)
    starts, said = len(reach.facts(e.RunStarted)), len(reach.sent)
    with pytest.raises(StateError, match=f"ann said {word} while this start was on its way.*`labloop resume "):
        reach.run(again={"trials": 1})
    assert len(reach.facts(e.RunStarted)) == starts and len(reach.sent) == said
    monkeypatch.undo()
    assert reach.run(again={"trials": 1}) == 0  # said anew, it goes on


@pytest.mark.parametrize("word", ["abort", "stop"])
def test_who_stopped_it_before_it_had_the_run_is_not_gainsaid(
    reach: Reach, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    run = reach.folder / "run"
    assert not wishes.ask(run, word, [], by="ann", why="").accepted
    assert reach.run(again={"trials": 1}) == 0, "what was said before ends nothing"
    waited_for(monkeypatch, lambda: wishes.ask(run, word, [], by="ann", why=""))
    said = len(reach.sent)
    with pytest.raises(StateError, match=f"ann said {word} while this start was on its way"):
        reach.run(again={"trials": 1})
    assert len(reach.sent) == said


@pytest.mark.parametrize("detach", [False, True])
def test_what_was_said_while_a_start_was_read_from_the_disk_was_said_after_it(
    reach: Reach, monkeypatch: pytest.MonkeyPatch, detach: bool
) -> None:
    path, begun = reach.folder / "run", len(reach.records())
    told: list[Any] = []

    def reads(folder: Path) -> bool:
        return wishes.ask(folder, "abort", [], by="ann", why="") is None

    monkeypatch.setattr(run, "_is_paused", reads)
    monkeypatch.setattr(run, "_detach", lambda folder, arguments: told.append(int(arguments[-1])))
    monkeypatch.setattr(session, "resume", lambda *order, **more: told.append(more["seen"]) or 0)
    with pytest.raises(typer.Exit):
        run.resume(str(path), detach=detach, dashboard=False)
    assert told == [begun] * (1 + detach) and len(reach.records()) == begun + 2


def test_what_was_amended_meanwhile_is_in_force(reach: Reach, monkeypatch: pytest.MonkeyPatch) -> None:
    run, changed = reach.folder / "run", reach.folder / "changed.yaml"
    changed.write_text((reach.folder / "one.yaml").read_text().replace("[100, 400]", "[100, 101]"))

    def amended() -> None:
        assert wishes.ask(run, "amend", look_at(run, changed).wish(), by="ann", why="dilute").accepted

    planned: list[dict[str, Any]] = []
    portable = session.run_files.portable
    monkeypatch.setattr(session.run_files, "portable", lambda spec: planned.append(portable(spec)) or planned[-1])
    waited_for(monkeypatch, amended)
    assert reach.run(again={"trials": 1}) == 0
    assert 100.0 <= float(reach.state().trials[2].settings["q"]) <= 101.0
    assert planned[-1]["parameters"]["q"]["range"] == [100, 101]


@pytest.mark.parametrize("when", ["made safe", "closing its lines"])
@pytest.mark.parametrize("word", ["stop", "abort"])
def test_what_was_said_while_the_run_was_ending_does_not_end_the_next_start(
    reach: Reach, monkeypatch: pytest.MonkeyPatch, word: str, when: str
) -> None:
    run, closes, box = Loop.run, session._let_go, reach.folder / "run" / "requests"

    async def ends(loop: Loop) -> int:
        code = await run(loop)
        inbox.post(box, word, by="ann")
        return code

    def lets_go(*more: Any) -> None:
        closes(*more)
        inbox.post(box, word, by="ann")

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(*((Loop, "run", ends) if when == "made safe" else (session, "_let_go", lets_go)))
        assert reach.run(again={"trials": 1}) == 0
    assert not list(box.glob("*.json")) and len(reach.facts(e.RequestAnswered)) == 1
    assert reach.run(again={"trials": 1}) == 0 and len(reach.state().trials) == 3
