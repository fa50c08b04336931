"""Granting a wish to amend: what a living runner does with one, and what a defect does to it."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.spec import CampaignSpec, LabSpec, read_lab, read_spec, spec_from_dict
from labloop.journal import Blobs, Journal, inbox
from labloop.runner import amending
from labloop.runner.amending import AMEND, Amender, Proved, Wanted, grant
from labloop.runner.lookout import Lookout
from labloop.runner.memory import RunMemory

HOUSE = Path(__file__).parents[2]
TEXT = "campaign: c\nparameters: {x: {range: %s}}\noutcomes: {y: {goal: maximize}}\n"


@pytest.fixture
def lab() -> LabSpec:
    return read_lab(HOUSE / "campaigns" / "lab.yaml")


@pytest.fixture
def memory(tmp_path: Path) -> RunMemory:
    """A run whose text is kept, with two proposals that wait."""
    (tmp_path / "campaign.yaml").write_text(TEXT % "[0, 10]")
    sha = Blobs(tmp_path / "blobs").put((TEXT % "[0, 10]").encode())
    memory = RunMemory(Journal.memory(), Blobs(tmp_path / "blobs"), s.CampaignState(), inbox=tmp_path / "requests")
    memory.record(
        e.CampaignOpened(campaign="c", run_id="r", version="0", mode="virtual", seed=1, campaign_sha256=sha),
        e.RunStarted(),
        *(e.ProposalMade(trial=n, sample=f"S{n}", settings={"x": x}, source="sobol") for n, x in ((1, 2.0), (2, 8.0))),
    )
    return memory


def post(memory: RunMemory, folder: Path, bounds: str) -> str:
    assert memory.state.opened is not None
    after = Blobs(folder / "blobs").put((TEXT % bounds).encode())
    wanted = Wanted(before=memory.state.opened.campaign_sha256, after=after)
    return inbox.post(folder / "requests", AMEND, [msgspec.json.encode(wanted).decode()], by="ann")


def amender(memory: RunMemory, folder: Path, lab: LabSpec, applied: list[Any], **words: Any) -> Lookout:
    lookout = Lookout(memory, lambda *end: None, lambda: 7.0, lambda: None)
    lookout.amender = Amender(memory, folder, lab, lambda: 7.0, applied.append, **words)
    return lookout


async def granted(lookout: Lookout, memory: RunMemory) -> None:
    """Let it look beside the run until every wish is answered."""
    assert lookout.amender is not None
    going = asyncio.ensure_future(lookout.amender.run())
    answered = asyncio.Event()
    memory.listeners.append(lambda record: answered.set() if isinstance(record.event, e.RequestAnswered) else None)
    await asyncio.wait_for(answered.wait(), 60)
    going.cancel()


def test_a_wish_is_journaled_at_once_and_granted_beside_the_run(
    memory: RunMemory, tmp_path: Path, lab: LabSpec
) -> None:
    applied: list[Any] = []
    lookout = amender(memory, tmp_path, lab, applied)
    id = post(memory, tmp_path, "[0, 5]")
    for _ in range(3):
        lookout.take_requests()
    assert memory.state.requests == {id: None} and not memory.state.amendments
    assert len(list((tmp_path / "requests").glob("*.json"))) == 1, "a crash finds it there again"
    asyncio.run(granted(lookout, memory))
    (one,) = memory.state.amended
    assert memory.state.requests == {id: True} and one.fact.leaves == [2] and one.fact.t_s == 7.0
    assert memory.state.trials[2].state == s.ABANDONED and memory.state.trials[1].state == s.PROPOSED
    assert [spec.parameters["x"].high for spec in applied] == [5.0]
    assert not list((tmp_path / "requests").glob("*.json"))


def test_one_that_was_answered_before_a_crash_is_only_put_away(memory: RunMemory, tmp_path: Path, lab: LabSpec) -> None:
    id = post(memory, tmp_path, "[0, 5]")
    memory.record(e.Requested(id=id, request=AMEND), e.RequestAnswered(id=id, accepted=False))
    applied: list[Any] = []
    amender(memory, tmp_path, lab, applied, at_once=True).take_requests()
    assert not applied and not memory.state.amendments and not list((tmp_path / "requests").glob("*.json"))


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ("[0, 10], unit: mL", "parameters.x.unit"),
        ("[0, 10] # the same", "nothing is another in it"),
        ("[10, 0]", "the low bound must be below the high one"),
    ],
)
def test_what_may_not_be_is_refused_by_the_runner_too(
    memory: RunMemory, tmp_path: Path, lab: LabSpec, bounds: str, said: str
) -> None:
    applied: list[Any] = []
    post(memory, tmp_path, bounds.replace(" # the same", ", likely: null"))
    amender(memory, tmp_path, lab, applied, at_once=True).take_requests()
    (answer,) = [record.event for record in memory.journal.records() if isinstance(record.event, e.RequestAnswered)]
    assert not answer.accepted and said in answer.message and not applied and not memory.state.amendments


def test_a_defect_refuses_the_wish_and_ends_nothing(
    memory: RunMemory, tmp_path: Path, lab: LabSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*words: Any, **more: Any) -> Any:
        raise ZeroDivisionError("by nought")

    monkeypatch.setattr(amending, "check", broken)
    post(memory, tmp_path, "[0, 5]")
    applied: list[Any] = []
    amender(memory, tmp_path, lab, applied, at_once=True).take_requests()
    (answer,) = [record.event for record in memory.journal.records() if isinstance(record.event, e.RequestAnswered)]
    assert not answer.accepted and "could not be looked at (ZeroDivisionError: by nought)" in answer.message


def test_what_was_looked_at_must_be_what_is_in_force(memory: RunMemory) -> None:
    spec = spec_from_dict({"parameters": {"x": {"range": [0, 5]}}, "outcomes": {"y": {"goal": "maximize"}}})
    wish = e.Requested(id="1", request=AMEND, by="bob")
    change = e.Change(place="parameters.x.range", kind="narrowed")

    def said(**words: Any) -> str:
        sha = memory.state.opened.campaign_sha256 if memory.state.opened else ""
        wanted = Wanted(**{"before": sha, "after": "new", **words})
        return grant(memory.state, wish, Proved(wanted=wanted, spec=spec, changes=[change]), 1.0).message

    assert said().startswith("amended: parameters.x.range")
    assert "amended meanwhile" in said(before="other")
    assert "not the last amendment" in said(undoes=3)


def test_what_a_run_was_refused_for_anyway_holds_up_no_other_amendment(tmp_path: Path, lab: LabSpec) -> None:
    """A run may have begun under another check, or another lab; what an amendment adds to that is still refused."""
    text = (
        "labloop: 1\ncampaign: hot\n{more}lab: {lab}\nparameters: {{t: {{range: [40, {most}], unit: degC}}}}\n"
        "outcomes: {{y: {{goal: maximize, from: told}}}}\nbudget: {{trials: {trials}}}\n"
        "trial: [{{hotplate.hold: {{temperature: $t, time: 30 s}}}}]\n"
    )
    at = HOUSE / "campaigns" / "lab.yaml"

    def written(name: str, **words: Any) -> CampaignSpec:
        path = tmp_path / name
        path.write_text(text.format(**{"more": "", "lab": at, "most": 90, "trials": 10} | words))
        return read_spec(path)

    before = written("before.yaml")
    assert amending.complaints(before, written("more.yaml", trials=20, more="# longer\n"), lab, live=False) == []
    assert amending.complaints(before, written("mild.yaml", most=70), lab, live=False) == []
    (complaint,) = amending.complaints(before, written("worse.yaml", most=95), lab, live=False)
    assert "can be asked for 95 degC" in complaint and complaint.startswith(f"{tmp_path}/worse.yaml:7:")


def test_of_a_run_that_was_refused_anyway_stock_and_totals_are_looked_at_too(tmp_path: Path) -> None:
    (tmp_path / "lab.yaml").write_text(
        f"labloop: 1\nroot: {HOUSE}\ninstruments:\n"
        '  pump: {driver: "drivers.new_era:NE1000", port: "serial:///dev/pump?baud=19200", '
        "syringe: {volume: 10 mL, diameter: 14.43 mm}, stock: 5 mL}\n"
        "limits: {pump: {rate: {max: 200 uL/min}}}\ntotals: {cell: {max: 4 mL, of: [pump.dispense]}}\n"
    )
    text = (
        "labloop: 1\ncampaign: full\nlab: lab.yaml\nparameters: {{v: {{range: [1, {most}], unit: mL}}}}\n"
        "outcomes: {{y: {{goal: maximize, from: told}}}}\nbudget: {{trials: 1}}\n"
        "trial: [{{pump.dispense: {{rate: 300 uL/min, volume: $v}}}}]\n"
    )

    def written(most: float) -> CampaignSpec:
        path = tmp_path / f"{most:g}.yaml"
        path.write_text(text.format(most=most))
        return read_spec(path)

    before, lab = written(2), read_lab(tmp_path / "lab.yaml")
    assert amending.complaints(before, written(3), lab, live=False) == []
    (total,) = amending.complaints(before, written(4.5), lab, live=False)
    assert "cell: one trial can bring 4.5 mL" in total
    said = amending.complaints(before, written(6), lab, live=False)
    assert len(said) == 2 and any("one trial can draw 6 mL" in one for one in said)
