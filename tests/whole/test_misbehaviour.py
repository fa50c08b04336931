"""Instruments that misbehave in the middle of something: what becomes of the step, and that nothing is done twice.

Each test lets one thing happen at one moment of a campaign in lock step, and holds ledger and journal together at the
end. Times are the bench's.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import accounts
import pytest
from lockstep import Bench, Nursery
from test_kill_anywhere import Stage, memory_folder, wrong_in

from campaigns import records
from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.journal import inbox
from labloop.runner import wishes
from labloop.simulation.bench import load_simulator

LINE = "serial:///dev/pumps?baud=19200"
SPECTROMETER = "zmq+tcp://127.0.0.1:12300?actor=N1.spectrometer"


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery


@pytest.fixture(scope="module")
def stage(nursery: Nursery) -> Iterator[Stage]:
    with memory_folder() as folder:
        yield Stage.set(folder, nursery, trials=2, sobol=2)


@pytest.fixture(scope="module")
def whole(stage: Stage, nursery: Nursery) -> s.CampaignState:
    return stage.unharmed(nursery)[0]


@pytest.fixture
def bench(stage: Stage) -> Bench:
    return Bench.of(stage.lab)


@pytest.fixture
def run(stage: Stage, request: pytest.FixtureRequest) -> Path:
    return stage.copy(request.node.name)


def once(word: str, deed: Callable[[], object]) -> Callable[[str], None]:
    """Do it at the first point that has this word."""
    done: list[str] = []

    def at(point: str) -> None:
        if word in point and not done:
            done.append(point)
            deed()

    return at


def state_of(run: Path) -> s.CampaignState:
    return s.fold(records(run))


# --- F10: switched off and on in the middle of a step ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "begin", "times", "look"),
    [
        ("hotplate", "START_1", 2, "IN_PV_1"),  # it was heated once before, in the setup
        ("spectrometer", '"action": "rinse"', 1, '"action": "last_act"'),
        ("spectrometer", '"action": "measure"', 1, '"action": "last_act"'),
    ],
)
def test_f10_what_may_be_done_again_is_done_again_after_a_reset(
    stage: Stage,
    nursery: Nursery,
    whole: s.CampaignState,
    bench: Bench,
    run: Path,
    device: str,
    begin: str,
    times: int,
    look: str,
) -> None:
    begun: list[str] = []
    reset = once("", lambda: bench.bench.devices[device].power_cycle(bench.clock.now_s()))

    def meanwhile(point: str) -> None:
        if begin in point and point.startswith("before"):
            begun.append(point)
        if len(begun) >= times and look in point and point.startswith("after"):
            reset(point)

    assert bench.run(nursery, {"resume": str(run)}, meanwhile=meanwhile) == 0
    state = state_of(run)
    assert wrong_in(bench, state, stage.campaign, whole) == []
    assert any(step.state == s.FAILED for step in state.steps.values()), "nothing was cut short"


def test_f10_a_pump_that_lost_its_counters_is_a_question(nursery: Nursery, bench: Bench, run: Path) -> None:
    reset = once("after b'1RUN", lambda: bench.bench.devices["pump_b"].power_cycle(bench.clock.now_s()))
    assert bench.run(nursery, {"resume": str(run)}, meanwhile=reset) == 6
    (question,) = state_of(run).questions.values()
    assert question.begun.instrument == "pump_b" and "switched off and on" in question.question
    assert accounts.disagreements(bench.ledger, state_of(run)) == []


# --- F11: acknowledged and not done, done and not acknowledged ------------------------------------------------------


@pytest.mark.parametrize("what", ["rate", "volume", "withdraws"])
def test_f11_a_setting_that_was_acknowledged_and_not_taken_is_found_before_anything_runs(
    stage: Stage, nursery: Nursery, whole: s.CampaignState, bench: Bench, run: Path, what: str
) -> None:
    phase = bench.bench.devices["pump_a"].drive.phases[0]
    lost = once("before b'0DIR\\r'", lambda: setattr(phase, what, {"rate": 400.0, "volume": 99.0}.get(what, True)))
    assert bench.run(nursery, {"resume": str(run)}, meanwhile=lost) == 0
    assert wrong_in(bench, state_of(run), stage.campaign, whole) == []


@pytest.mark.parametrize("word", ["b'0RUN\\r'", "b'0STP\\r'", '"action": "rinse"', '"action": "measure"'])
def test_f11_what_was_done_and_not_acknowledged_is_not_done_again(
    stage: Stage, nursery: Nursery, whole: s.CampaignState, bench: Bench, run: Path, word: str
) -> None:
    line = bench.bench.lines[LINE if word.startswith("b") else SPECTROMETER]

    def unheard() -> None:
        usual = line.receive

        def receive(*said: Any) -> Any:
            line.receive = usual
            return usual(*said)[:0]  # it is done, and the answer gets lost

        line.receive = receive

    assert (
        bench.run(nursery, {"resume": str(run)}, meanwhile=once(f"before {word}" if word[0] == "b" else word, unheard))
        == 0
    )
    assert wrong_in(bench, state_of(run), stage.campaign, whole) == []


# --- F14, F15, F16: messages, a server that is started anew, a network that stands still ----------------------------


class Stalled:
    """A line that keeps everything until a moment, and then delivers it all at once."""

    def __init__(self, line: Any, until_s: float) -> None:
        self.line, self.until_s = line, until_s
        self.kind, self.unplugged_until_s = line.kind, float("-inf")
        self.kept: list[tuple[Any, ...]] = []

    def receive(self, *said: Any) -> Any:
        now_s = said[-1]
        if now_s < self.until_s:
            if said[-2]:
                self.kept.append(said[:-1])
            return b"" if self.kind == "serial" else []
        kept, self.kept = self.kept, []
        for one in kept:
            self.line.receive(*one, now_s)  # whoever asked has gone long ago
        return self.line.receive(*said)

    def due(self, now_s: float) -> float | None:
        return self.line.due(now_s)


@pytest.mark.parametrize(
    ("port", "word", "asked"),
    [(LINE, "before b'0RUN\\r'", ""), (LINE, "before b'1RUN\\r'", "pump_a"), (SPECTROMETER, '"action": "rinse"', "")],
)
def test_f16_what_a_network_held_back_for_an_hour_is_nobodys_second_act(
    stage: Stage, nursery: Nursery, whole: s.CampaignState, bench: Bench, run: Path, port: str, word: str, asked: str
) -> None:
    """``asked``: whose counters stand at 0, and one of the answers that nobody heard may have told of a power cut."""
    line = bench.bench.lines[port]

    def stand_still() -> None:
        bench.bench.lines[port] = Stalled(line, bench.clock.now_s() + 3600.0)

    assert bench.run(nursery, {"resume": str(run)}, meanwhile=once(word, stand_still)) == 3
    assert not state_of(run).safe, "nobody knows whether it was stopped"
    bench.pass_time(3600.0)
    bench.bench.lines[port].receive(*((b"",) if port == LINE else (b"", [])), bench.clock.now_s())
    bench.pass_time(60.0)
    if asked:
        assert bench.run(nursery, {"resume": str(run)}) == 6
        (question,) = state_of(run).questions.values()
        assert question.begun.instrument == asked and "nobody knows whether it was switched off" in question.question
        assert wishes.ask(run, "resolve", ["1", "discard"], by="ann", why="it is too old").accepted
    assert bench.run(nursery, {"resume": str(run)}) == 0
    assert wrong_in(bench, state_of(run), stage.campaign, whole) == []


@pytest.mark.parametrize("remembers", [True, False])
@pytest.mark.parametrize("action", ["rinse", "measure"])
def test_f15_a_server_that_is_started_anew_is_asked_for_its_act_by_its_id(
    stage: Stage, nursery: Nursery, whole: s.CampaignState, bench: Bench, run: Path, remembers: bool, action: str
) -> None:
    def start_anew() -> None:
        old = bench.bench.devices["spectrometer"]
        new = load_simulator("spectrometer", "simulators.spectrometer:Spectrometer")(
            bench.bench.world, "spectrometer", {}
        )
        bench.bench.world._movers.remove(old)
        if remembers:
            new.restore(json.loads(json.dumps(old.state())), bench.clock.now_s())
        else:
            old._stop()  # what it was at ends with it
        bench.bench.devices["spectrometer"] = new
        bench.bench.lines[SPECTROMETER].line.devices["spectrometer"] = new
        bench.bench.lines[SPECTROMETER].line._device = new

    begun = once(f'"action": "{action}"', lambda: None)

    def meanwhile(point: str) -> None:
        begun(point)
        if '"action": "last_act"' in point and point.startswith("before"):
            anew(point)

    anew = once('"action": "last_act"', start_anew)
    assert bench.run(nursery, {"resume": str(run)}, meanwhile=meanwhile) == 0
    assert wrong_in(bench, state_of(run), stage.campaign, whole) == []


# --- F33: paused, for hours, and resumed ----------------------------------------------------------------------------


def test_f33_a_sample_that_waited_through_a_pause_is_not_measured_late(
    stage: Stage, nursery: Nursery, whole: s.CampaignState, bench: Bench, run: Path
) -> None:
    lunch = once("after b'1RUN\\r'", lambda: inbox.post(run / "requests", "pause", [], by="ann", why="lunch"))
    assert bench.run(nursery, {"resume": str(run)}, meanwhile=lunch) == 6, "in virtual time a pause is over at once"
    state = state_of(run)
    assert state.state == s.HALTED and "lunch" in state.reason and state.safe and not state.questions
    bench.pass_time(7200.0)
    assert bench.run(nursery, {"resume": str(run), "by": "ann"}) == 0
    state = state_of(run)
    assert state.trials[1].state == s.ABANDONED and "start_within is 20 s" in state.trials[1].reason
    assert wrong_in(bench, state, stage.campaign, whole) == []


# --- F34: one instrument is away for hours --------------------------------------------------------------------------


def test_f34_the_others_go_on_while_one_is_away_for_an_hour(nursery: Nursery) -> None:
    with memory_folder() as folder:
        stage = Stage.set(
            folder, nursery, trials=3, sobol=3, batch=2, of_lab="samples: pipelined\non_lost: {retry_for: 2 h}\n"
        )
        bench, run = Bench.of(stage.lab), stage.copy("away")
        spectrometer = bench.bench.lines[SPECTROMETER]
        left: list[float] = []

        def go_away() -> None:
            left.append(bench.clock.now_s())
            spectrometer._silent_until_s = bench.clock.now_s() + 3600.0

        assert bench.run(nursery, {"resume": str(run)}, meanwhile=once('"action": "measure"', go_away)) == 0
        state = s.fold(records(run))
        assert accounts.disagreements(bench.ledger, state) == []
        assert accounts.lost_trials(state) + accounts.not_as_wished(state) + accounts.done_twice(state) == []
        meanwhile = [one for one in bench.ledger if left[0] < one.at_s < left[0] + 3600.0 and one.act == "dispense"]
        assert meanwhile, "the pumps stood still for an hour"
        stale = [trial for trial in state.trials.values() if trial.state == s.ABANDONED]
        assert stale and all("start_within is 300 s" in trial.reason for trial in stale)


# --- F35: a sample that is lost -------------------------------------------------------------------------------------


def test_f35_a_sample_that_cannot_be_measured_is_given_up_and_its_place_is_free(
    stage: Stage, nursery: Nursery, whole: s.CampaignState, bench: Bench, run: Path
) -> None:
    device = bench.bench.devices["spectrometer"]
    dark = once('"action": "measure"', lambda: setattr(device, "lamp", "off"))
    light = once('"action": "rinse"', lambda: setattr(device, "lamp", "on"))

    def meanwhile(point: str) -> None:
        dark(point)
        light(point)

    assert bench.run(nursery, {"resume": str(run)}, meanwhile=meanwhile) == 0
    state = state_of(run)
    first = state.trials[1]
    assert first.state == s.ABANDONED and "LampOff" in first.reason and first.closed
    measures = [step for step in first.steps if step.begun.action == "measure"]
    assert len(measures) == 3 and not any(step.state == s.FINISHED for step in measures)
    assert wrong_in(bench, state, stage.campaign, whole) == []


# --- an instrument that is lost: the lab's word ---------------------------------------------------------------------


@pytest.mark.parametrize(("then", "code", "end"), [("stop", 3, s.STOPPED), ("pause", 6, s.HALTED)])
def test_what_stays_away_ends_the_run_as_the_lab_says_and_is_judged_when_it_is_back(
    nursery: Nursery, then: str, code: int, end: str
) -> None:
    with memory_folder() as folder:
        stage = Stage.set(folder, nursery, trials=1, sobol=1, of_lab=f"on_lost: {{retry_for: 1 min, then: {then}}}\n")
        whole, _ = stage.unharmed(nursery)
        bench, run = Bench.of(stage.lab), stage.copy("lost")
        pumps = bench.bench.lines[LINE]
        out = once("after b'1RUN\\r'", lambda: setattr(pumps, "unplugged_until_s", float("inf")))
        assert bench.run(nursery, {"resume": str(run)}, meanwhile=out) == code
        state = s.fold(records(run))
        assert state.state == end and "was lost" in state.reason and not state.questions
        assert state.instruments["pump_b"] == "lost" or state.instruments["pump_a"] == "lost"
        lost = [record.event for record in records(run) if isinstance(record.event, e.InstrumentLost)]
        assert len(lost) == 1, "five pumps on a line are one loss"
        pumps.unplugged_until_s = float("-inf")
        assert bench.run(nursery, {"resume": str(run)}) == 0
        assert wrong_in(bench, s.fold(records(run)), stage.campaign, whole) == []


def test_what_comes_back_goes_on_where_it_was_and_is_set_up_again_before_it_begins_anything(
    stage: Stage, nursery: Nursery, whole: s.CampaignState, bench: Bench, run: Path
) -> None:
    pumps = bench.bench.lines[LINE]

    def pull() -> None:
        pumps.unplugged_until_s = bench.clock.now_s() + 12.0  # longer than the acts last

    assert bench.run(nursery, {"resume": str(run)}, meanwhile=once("after b'1RUN\\r'", pull)) == 0
    state, facts = state_of(run), [record.event for record in records(run)]
    assert wrong_in(bench, state, stage.campaign, whole) == []
    assert all(trial.state == s.MEASURED for trial in state.trials.values()), "nothing was spoilt by it"
    back = max(n for n, fact in enumerate(facts) if isinstance(fact, e.InstrumentIdentified))
    again = [fact.instrument for fact in facts[back:] if isinstance(fact, e.InstrumentConfigured)]
    assert sorted(again) == ["pump_a", "pump_b", "pump_c"]


def test_a_plug_that_is_pulled_and_put_back_while_nothing_uses_it_costs_nothing(
    stage: Stage, nursery: Nursery, whole: s.CampaignState, bench: Bench, run: Path
) -> None:
    plate = next(line for port, line in bench.bench.lines.items() if "plate" in port)

    def pull() -> None:
        plate.unplugged_until_s = bench.clock.now_s() + 9.0

    assert bench.run(nursery, {"resume": str(run)}, meanwhile=once("after b'1RUN\\r'", pull)) == 0
    state, facts = state_of(run), [record.event for record in records(run)]
    assert wrong_in(bench, state, stage.campaign, whole) == []
    assert [fact.instrument for fact in facts if isinstance(fact, e.InstrumentLost)] == ["hotplate"]
    assert all(trial.state == s.MEASURED for trial in state.trials.values())


def test_a_line_that_is_back_when_the_bench_is_made_safe_is_used(nursery: Nursery, bench: Bench, run: Path) -> None:
    """The plate is away for longer than its readings may be, and back before anybody has tried its line again."""
    plate = next(line for port, line in bench.bench.lines.items() if "plate" in port)

    def pull() -> None:
        plate.unplugged_until_s = bench.clock.now_s() + 14.5  # it is tried after 1, 3, 7 and 15 s

    assert bench.run(nursery, {"resume": str(run)}, meanwhile=once("after b'1RUN\\r'", pull)) == 3
    state = state_of(run)
    assert "no fresh reading" in state.reason and state.safe, state.reason
    assert not bench.bench.devices["hotplate"].heats
