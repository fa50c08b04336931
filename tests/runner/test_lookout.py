"""What comes from outside: requests taken up in order, an abort before everything else."""

import asyncio
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from labloop.bench import Envelope
from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.spec import read_lab, spec_from_dict
from labloop.journal import Journal, MemoryBlobs, StoreError, StoreFull, inbox
from labloop.runner.book import BenchBook
from labloop.runner.lookout import Lookout
from labloop.runner.memory import RunMemory
from labloop.runner.requests import fitting
from labloop.runner.rest import Rest


@pytest.fixture
def memory(tmp_path: Path) -> RunMemory:
    memory = RunMemory(Journal.memory(), MemoryBlobs(), s.CampaignState(), inbox=tmp_path)
    memory.record(
        e.CampaignOpened(campaign="c", run_id="r", version="0", mode="live", seed=1, campaign_sha256="0"),
        e.RunStarted(),
    )
    return memory


def looking(memory: RunMemory, ended: list[tuple[str, str]], beat: Any = lambda: None) -> Lookout:
    def end(kind: str, reason: str, code: int, by: str) -> None:
        ended.append((kind, by))

    return Lookout(memory, end, lambda: 0.0, beat)


def test_an_abort_is_acted_on_before_anything_is_journaled(memory: RunMemory, tmp_path: Path) -> None:
    inbox.post(tmp_path, "note", ["hello"], by="bob")
    inbox.post(tmp_path, "abort", by="ann")
    ended: list[tuple[str, str]] = []
    full = memory.record

    def no_room(*facts: Any) -> None:
        raise StoreFull("the disk took no more")

    memory.record = no_room  # type: ignore[method-assign]
    with pytest.raises(StoreFull):
        looking(memory, ended).take_requests()
    assert ended == [("abort", "ann")]
    memory.record = full  # type: ignore[method-assign]
    looking(memory, ended).take_requests()
    assert [accepted for accepted in memory.state.requests.values()] == [True, True]
    assert list(tmp_path.glob("*.json")) == []


def test_an_abort_that_was_journaled_before_a_crash_is_not_done_again(memory: RunMemory, tmp_path: Path) -> None:
    id = inbox.post(tmp_path, "abort", by="ann")
    memory.record(e.Requested(id=id, request="abort", by="ann"))
    ended: list[tuple[str, str]] = []
    looking(memory, ended).take_requests()
    assert ended == [] and list(tmp_path.glob("*.json")) == []
    assert memory.state.requests == {id: True}, "and whoever wished it is told"


def test_an_abort_among_thousands_of_wishes_waits_for_one_turn_of_them(
    memory: RunMemory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """3000 notes were journaled in one turn, of 36 s: nobody watched the bench, and no heart beat, until then."""
    monkeypatch.setattr("labloop.runner.lookout.TURN_S", 0.0)
    notes = [inbox.post(tmp_path, "note", [str(number)], by="bob") for number in range(5)]
    ended, beats = list[tuple[str, str]](), list[int]()
    lookout = looking(memory, ended, lambda: beats.append(1))
    assert lookout.take_requests() and list(memory.state.requests) == notes[:1]
    abort = inbox.post(tmp_path, "abort", by="ann")
    assert lookout.take_requests() and ended[0] == ("abort", "ann")
    assert list(memory.state.requests) == [notes[0], abort], "and whoever wished it is answered before all others"

    async def rest() -> None:
        going = asyncio.ensure_future(lookout.keep_looking())
        while list(tmp_path.glob("*.json")):
            await asyncio.sleep(0.01)
        going.cancel()

    asyncio.run(rest())
    assert list(memory.state.requests) == [notes[0], abort, *notes[1:]] and all(memory.state.requests.values())
    assert set(ended) == {("abort", "ann")}


def test_what_came_while_the_run_was_ending_is_answered_and_is_not_the_next_starts(
    memory: RunMemory, tmp_path: Path
) -> None:
    memory.record(e.CampaignStopped(reason="an interrupt", exit_code=4))
    ids = [inbox.post(tmp_path, *one, by="ann") for one in (("note", ["lamp"]), ("stop", []), ("pause", []))]
    abort, amend = inbox.post(tmp_path, "abort", by="bob"), inbox.post(tmp_path, "amend", ["{}"], by="bob")
    ended: list[tuple[str, str]] = []
    looking(memory, ended).last_words()
    assert ended == [] and memory.state.state == s.STOPPED
    assert memory.state.requests == dict(zip([*ids, abort], [True, False, False, True], strict=True))
    assert [path.stem for path in tmp_path.glob("*.json")] == [amend], "which the next start proves"


@pytest.mark.parametrize("errors", [[], ["a.stop: its line was out"]])
def test_what_was_not_made_safe_before_a_rest_its_guard_tries_again_at_its_end(
    memory: RunMemory, tmp_path: Path, errors: list[str]
) -> None:
    memory.record(e.CampaignPaused(reason="lunch", by="ann"), e.SafeStateReached(why="a long pause", errors=errors))
    lab: Any = SimpleNamespace(totals={}, pause=None)
    spec: Any = SimpleNamespace(totals={}, pause=None)
    rest = Rest(spec, lab, lambda *_: None, memory, lambda: 0.0, lambda: None)  # type: ignore[arg-type, return-value]
    inbox.post(tmp_path, "abort", by="bob")
    assert asyncio.run(rest.run()) == 4 and memory.state.state == s.STOPPED
    assert memory.left_to_guard == bool(errors)


class Killed(BaseException):
    """The runner is gone at once."""


def killed_after(commits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the runner is killed after so many commits, of whatever journal."""
    surely, left = Journal.append_surely, [commits]

    def counted(journal: Journal, *facts: Any) -> list[e.Record]:
        done = surely(journal, *facts)
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        return done

    monkeypatch.setattr(Journal, "append_surely", counted)


def taken_up(memory: RunMemory) -> RunMemory:
    """What the next runner remembers: the same journals and inbox."""
    journal = memory.journal
    after = RunMemory(journal, memory.blobs, s.fold(journal.records()), inbox=memory.inbox)
    after.book = BenchBook(memory.book.journal) if memory.book is not None else None
    return after


@pytest.mark.parametrize("commits", range(1, 8))
def test_a_wish_is_granted_once_and_answered_wherever_its_runner_is_killed(
    commits: int, memory: RunMemory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.book = BenchBook.memory("bench", lambda: "2026-01-01T00:00:00Z")
    ids = [inbox.post(tmp_path, *one, by="ann") for one in (
        ("note", ["hello"]), ("pause", []), ("refill", ["pump", "50", "mL"]),
    )]  # fmt: skip
    with monkeypatch.context() as dying, pytest.raises(Killed):
        killed_after(commits, dying)
        looking(memory, []).take_requests()
    after = taken_up(memory)
    after.record(e.RunStarted(resumed=True))
    looking(after, []).take_requests()
    assert after.state.requests == dict.fromkeys(ids, True) and list(tmp_path.glob("*.json")) == []
    facts = [one.event for one in (*memory.journal.records(), *memory.book.journal.records())]
    for kind in (e.Requested, e.RequestAnswered):
        assert Counter(one.id for one in facts if isinstance(one, kind)) == dict.fromkeys(ids, 1)
    assert Counter(type(one) for one in facts if isinstance(one, e.NoteTaken | e.CampaignPaused | e.StockSet)) == {
        e.NoteTaken: 1, e.CampaignPaused: 1, e.StockSet: 1,
    }  # fmt: skip


DOUBT = (
    e.ProposalMade(trial=1, sample="S1", settings={"x": 1.0}, source="sobol"), e.TrialStarted(trial=1),
    e.StepStarted(step="a", trial=1, phase="trial", stage=0, index=0, instrument="pump_pva", action="blend", act=True),
    e.StepInDoubt(step="a", question="was it?"), e.TrialInDoubt(trial=1, reason="r"),
)  # fmt: skip


def told_after(memory: RunMemory, lookout: Lookout, folder: Path) -> e.RequestAnswered:
    """What the one wish that lies there is answered."""
    lookout.take_requests()
    assert list(folder.glob("*.json")) == []
    (answer,) = [one.event for one in memory.journal.records() if isinstance(one.event, e.RequestAnswered)]
    return answer


def test_a_wish_that_turns_out_wrong_is_refused_and_ends_nothing(memory: RunMemory, tmp_path: Path) -> None:
    """Its code was changed since, and no driver knows any more what is asked about."""
    lab = read_lab(Path(__file__).parents[2] / "campaigns" / "lab.yaml")
    action = Envelope(lab, None).action
    memory.record(*DOUBT)
    inbox.post(tmp_path, "resolve", ["1", "done", "0.1 mL"], by="ann")
    lookout = Lookout(
        memory, lambda *end: None, lambda: 0.0, lambda: None, fits=lambda says: fitting(says, lab, {}, action)
    )
    answer = told_after(memory, lookout, tmp_path)
    assert not answer.accepted and "pump_pva has no action 'blend'" in answer.message
    assert memory.state.questions, "nothing of it was done"


@pytest.mark.parametrize(
    ("wrong", "reading", "said"),
    [
        ("colour", e.Reading(value="red"), "colour is no outcome"),
        ("loss", e.Reading(value="red"), "loss = 'red' is no number"),
        ("loss", e.Reading(blob="0" * 64, length=3), "loss = None is no number"),
        ("loss", e.Reading(value=9.9e37, unit="mg"), "no reading"),
        ("loss", e.Reading(value=1.0, unit="kg"), "in kg, where mg is declared"),
        ("loss", e.Reading(value=1.0, sd=-1.0), "a standard deviation of -1.0"),
        ("loss", e.Reading(value=1.0, censored="sideways"), "neither above nor below"),
        ("sets", e.Reading(value=5.0), "sets = 5.0 is neither 1"),
    ],
)
def test_a_result_that_no_campaign_could_learn_from_is_refused(
    memory: RunMemory, tmp_path: Path, wrong: str, reading: e.Reading, said: str
) -> None:
    memory.record(DOUBT[0], e.TrialStarted(trial=1), e.TrialAwaiting(trial=1))
    fact = e.TrialMeasured(trial=1, outcomes={wrong: reading})
    inbox.post(tmp_path, "tell", [msgspec.json.encode(fact).decode()], by="ann")
    outcomes = {"loss": {"goal": "minimize", "unit": "mg"}, "sets": {"goal": "pass"}}
    spec = spec_from_dict({"parameters": {"x": {"range": [0, 5]}}, "outcomes": outcomes})
    answer = told_after(memory, Lookout(memory, lambda *end: None, lambda: 0.0, lambda: None, spec=spec), tmp_path)
    assert not answer.accepted and said in answer.message and memory.state.trials[1].state == s.AWAITING


def test_a_verdict_on_a_sample_that_was_measured_again_is_a_mean(memory: RunMemory, tmp_path: Path) -> None:
    memory.record(DOUBT[0], e.TrialStarted(trial=1), e.TrialAwaiting(trial=1))
    read = e.Reading(value=0.5, sd=0.5, word="clear, gel")
    fact = e.TrialMeasured(trial=1, outcomes={"sets": read, "loss": e.Reading(value=1.0)})
    inbox.post(tmp_path, "tell", [msgspec.json.encode(fact).decode()], by="ann")
    outcomes = {"loss": {"goal": "minimize"}, "sets": {"goal": "pass"}}
    spec = spec_from_dict({"parameters": {"x": {"range": [0, 5]}}, "outcomes": outcomes})
    answer = told_after(memory, Lookout(memory, lambda *end: None, lambda: 0.0, lambda: None, spec=spec), tmp_path)
    assert answer.accepted, answer.message
    assert memory.state.trials[1].measured["sets"] == read


def test_a_mistake_of_ours_is_no_wishs_fault_and_is_seen(memory: RunMemory, tmp_path: Path) -> None:
    def broken(says: Any) -> Any:
        raise KeyError("blend")

    inbox.post(tmp_path, "note", ["hello"], by="ann")
    with pytest.raises(KeyError):
        Lookout(memory, lambda *end: None, lambda: 0.0, lambda: None, fits=broken).take_requests()
    assert list(memory.state.requests.values()) == [None]


def test_a_refill_that_the_bench_knows_is_not_put_down_again_over_what_was_drawn_since(
    memory: RunMemory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.book = BenchBook.memory("bench", lambda: "2026-01-01T00:00:00Z")
    inbox.post(tmp_path, "refill", ["pump", "50", "mL"], by="ann")
    with monkeypatch.context() as dying, pytest.raises(Killed):
        killed_after(2, dying)  # the wish, and what it says of the bench
        looking(memory, []).take_requests()
    after = taken_up(memory)
    assert after.book is not None and list(after.state.requests.values()) == [None]
    after.book.draw("pump", e.Amount(2.0, "mL"), "an act that was asked after")
    looking(after, []).take_requests()
    assert after.book.left("pump") == e.Amount(48.0, "mL") and list(after.state.requests.values()) == [True]


def test_a_request_is_found_though_the_folders_stamp_did_not_change(
    memory: RunMemory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system that stamps folders by the second hides what comes within it."""
    monkeypatch.setattr(RunMemory, "inbox_stamp", lambda self: 0)
    ended: list[tuple[str, str]] = []

    async def main() -> None:
        looks = asyncio.ensure_future(looking(memory, ended).keep_looking())
        inbox.post(tmp_path, "abort", by="ann")
        async with asyncio.timeout(30):
            while not ended:
                await asyncio.sleep(0.01)
        looks.cancel()

    asyncio.run(main())
    assert ended[0] == ("abort", "ann")


def test_a_lock_that_is_lost_is_told(memory: RunMemory) -> None:
    def lost() -> None:
        raise StoreError("the lock is lost")

    with pytest.raises(StoreError, match="the lock is lost"):
        asyncio.run(looking(memory, [], lost).keep_looking())


def test_a_pause_has_a_limit_that_counts_once_nothing_runs(memory: RunMemory) -> None:
    ended: list[tuple[str, str, int]] = []
    now = [0.0]

    def end(kind: str, reason: str, code: int, by: str) -> None:
        ended.append((kind, reason, code))

    lookout = Lookout(memory, end, lambda: now[0], lambda: None, pause_s=1800.0)
    memory.record(e.InstrumentIdentified(instrument="plate", model="m"), e.CampaignPaused(reason="lunch", by="ann"))
    memory.record(e.StepStarted(step="s", phase="setup", number=1, stage=0, index=0, instrument="plate", action="hold"))
    for now[0] in (0.0, 7200.0):  # a hold that runs is what the pause waits for
        lookout.end_long_pause()
    memory.record(e.StepFinished(step="s"))
    for now[0] in (7300.0, 9000.0):
        lookout.end_long_pause()
    assert ended == []
    memory.record(e.CampaignResumed(by="ann"))
    lookout.end_long_pause()
    memory.record(e.CampaignPaused(reason="tea", by="ann"))
    for now[0] in (9100.0, 10_899.0):
        lookout.end_long_pause()
    assert ended == []
    now[0] = 10_900.0
    lookout.end_long_pause()
    assert ended == [("rest", "paused by ann for 30 min (tea), and nobody said resume", 6)]
