"""What was allowed before a line was lost is asked again when it is back: hours may lie in between.

The pumps' line goes out at one of the moments before an act's first byte, for ten minutes. What is measured on the
plate by then decides whether the act may still begin.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from reach import Reach

from labloop.campaign import events as e
from labloop.campaign import state as s

PUMPS = "serial:///dev/pumps?baud=19200"
OUT_S = 600.0
SETUP_S = 120.0
NEEDS = """
    requires: {warm: {of: pump_a.dispense, that: hotplate.temperature >= 35 degC, within: 1 min}}
    on_lost: {retry_for: 2 h}
"""
LIMIT = """
    limits: [pump_a.rate <= 90 uL/min when hotplate.temperature < 35 degC, pump_a: {dispense: {dwell: 20 s}}]
    totals: {vessel: {of: [pump_a.dispense, pump_b.dispense], max: 1 mL}}
    on_lost: {retry_for: 2 h}
"""
HOLD = """
    interlocks: {hot: {when: hotplate.temperature > 50 degC, then: hold, resume: true, stale_after: 1 s}}
    on_lost: {retry_for: 2 h}
"""
# The last byte that arrives before the line is out: the rest of the counters, of the set-up, the first byte of the act.
MOMENTS = {"evidence": b"0DIS\r", "set-up": b"0RAT\r", "begin": b"0VOL\r"}


class Out:
    """Takes the pumps' line away once ``word`` was said after the setup, and sets the flask's temperature.

    ``then_c``: by the seconds since the line went out.
    """

    def __init__(self, word: bytes, at_first_c: float, then_c: Callable[[float], float], out_s: float = OUT_S) -> None:
        self.word, self.at_first_c, self.then_c, self.out_s = word, at_first_c, then_c, out_s
        self.reach: Reach
        self.at_s: float | None = None

    def __call__(self, bench: Any, now_s: float) -> None:
        bench.devices["hotplate"].bath.medium_c = self.medium_c
        if self.at_s is None and now_s >= SETUP_S and self.reach.sent[-1][2] == self.word:
            self.at_s = now_s
            bench.lines[PUMPS].unplugged_until_s = now_s + self.out_s

    def medium_c(self, at_s: float) -> float:
        return self.at_first_c if self.at_s is None else self.then_c(at_s - self.at_s)


# The counters stand at something before the trial, so that a pump can tell afterwards that it has not begun.
SETUP = "setup: [{pump_a.dispense: {rate: 60 uL/min, time: 60 s}}, {pump_b.dispense: {rate: 60 uL/min, time: 60 s}}]\n"
TRIAL = SETUP + "trial: [STEPS]\nbudget: {trials: 1}\n"
ONE = TRIAL.replace("STEPS", "{pump_a.dispense: {rate: $q, time: 60 s}}")
TWO = TRIAL.replace(
    "STEPS", "{together: [{pump_a.dispense: {rate: $q, time: 60 s}}, {pump_b.dispense: {rate: $q, time: 60 s}}]}"
)


def bench(folder: Path, lab: str, campaign: str, out: Out) -> Reach:
    out.reach = Reach(folder, lab, campaign, out)
    return out.reach


def begun(reach: Reach, pump: str) -> list[float]:
    """When the trial's acts began, by the pump itself."""
    return [one.at_s for one in reach.ledger(pump, "begin") if one.at_s >= SETUP_S]


def test_what_an_act_needs_is_measured_again_when_the_line_is_back(tmp_path: Path) -> None:
    out = Out(MOMENTS["evidence"], 40.0, lambda since_s: 22.0)
    reach = bench(tmp_path, NEEDS, ONE, out)
    assert reach.run() == 3
    assert out.at_s is not None and begun(reach, "pump_a") == []
    assert "refused: pump_a.dispense needs hotplate.temperature >= 35 degC" in reach.state().reason
    assert reach.clock is not None and reach.clock.now_s() >= out.at_s + OUT_S + 60.0, "it is waited for"


def test_what_is_there_again_in_time_lets_the_act_begin_once(tmp_path: Path) -> None:
    warm_s = OUT_S + 50.0
    out = Out(MOMENTS["evidence"], 40.0, lambda since_s: 22.0 if since_s < warm_s else 40.0)
    reach = bench(tmp_path, NEEDS, ONE, out)
    assert reach.run() == 0
    (begun_s,) = begun(reach, "pump_a")
    assert out.at_s is not None and out.at_s + warm_s <= begun_s < out.at_s + warm_s + 15.0


def test_what_decides_is_read_right_before_the_act(tmp_path: Path) -> None:
    """No line is lost; the flask gets cold just after the act was admitted, and is warm again in time."""
    out = Out(MOMENTS["evidence"], 40.0, lambda since_s: 22.0 if since_s < 20.0 else 40.0, out_s=0.0)
    reach = bench(tmp_path, NEEDS, ONE, out)
    assert reach.run() == 0
    (begun_s,) = begun(reach, "pump_a")
    assert out.at_s is not None and out.at_s + 20.0 <= begun_s < out.at_s + 22.0
    assert [step.state for step in reach.state().trials[1].steps] == [s.FINISHED]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_limit_under_a_reading_counts_as_it_is_when_the_line_is_back(tmp_path: Path, moment: str) -> None:
    out = Out(MOMENTS[moment], 40.0, lambda since_s: 22.0)
    reach = bench(tmp_path, LIMIT, ONE, out)
    assert reach.run() == 3
    assert out.at_s is not None and begun(reach, "pump_a") == []
    assert "refused: pump_a.dispense: rate" in reach.state().reason and "limit" in reach.state().reason


@pytest.mark.parametrize("moment", MOMENTS)
def test_what_is_still_allowed_is_done_once(tmp_path: Path, moment: str) -> None:
    out = Out(MOMENTS[moment], 40.0, lambda since_s: 40.0)
    reach = bench(tmp_path, LIMIT, ONE, out)
    assert reach.run() == 0
    (begun_s,) = begun(reach, "pump_a")
    assert out.at_s is not None and begun_s >= out.at_s + OUT_S
    facts = [record.event for record in reach.records()]
    back = max(at for at, fact in enumerate(facts) if isinstance(fact, e.InstrumentIdentified))
    again = [type(fact) for fact in facts[back:] if getattr(fact, "instrument", "") == "pump_a"]
    assert again[-2:] == [e.InstrumentConfigured, e.StepStarted], "its settings are sent again first"
    (finished,) = [step for step in reach.state().trials[1].steps if step.state == s.FINISHED]
    assert finished.achieved["volume"].value == pytest.approx(reach.ledger("pump_a")[-1].amount, abs=0.5)


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_interlock_that_holds_the_run_by_then_is_waited_for(tmp_path: Path, moment: str) -> None:
    out = Out(MOMENTS[moment], 22.0, lambda since_s: 90.0 if since_s < OUT_S + 300.0 else 22.0)
    reach = bench(tmp_path, HOLD, ONE, out)
    assert reach.run() == 0
    (begun_s,), (cleared,) = begun(reach, "pump_a"), reach.facts(e.WatchCleared)
    assert out.at_s is not None and cleared.t_s > out.at_s + OUT_S + 299.0 and begun_s >= cleared.t_s
    assert reach.state().trials[1].state == s.AWAITING


def test_an_interlock_that_trips_while_the_counters_are_read_is_waited_for(tmp_path: Path) -> None:
    """They have to be asked for several times; the line is not given up."""
    out = Out(MOMENTS["evidence"], 22.0, lambda since_s: 90.0 if since_s < 300.0 else 22.0, out_s=2.5)
    reach = bench(tmp_path, HOLD, ONE, out)
    assert reach.run() == 0 and reach.facts(e.InstrumentLost) == []
    (begun_s,), (tripped,) = begun(reach, "pump_a"), reach.facts(e.WatchTripped)
    (cleared,) = reach.facts(e.WatchCleared)
    assert out.at_s is not None and out.at_s < tripped.t_s < out.at_s + 2.5 and begun_s >= cleared.t_s


@pytest.mark.parametrize(
    "lab, then_c, why", [(LIMIT, 22.0, "limit"), (HOLD, 90.0, "interlocks.hot holds it"), (LIMIT, 40.0, "")]
)
def test_one_of_two_that_was_left_behind_begins_only_if_it_still_may(
    tmp_path: Path, lab: str, then_c: float, why: str
) -> None:
    """pump_b has begun, and the line goes out before pump_a has."""
    out = Out(b"1RUN\r", 40.0, lambda since_s: then_c)
    reach = bench(tmp_path, lab, TWO, out)
    reach.run()
    assert out.at_s is not None and begun(reach, "pump_b") and bool(begun(reach, "pump_a")) == (not why)
    trial = reach.state().trials[1]
    assert trial.state == (s.ABANDONED if why else s.AWAITING)
    (left,) = [step for step in trial.steps if step.begun.instrument == "pump_a"]
    assert why in left.reason and (not why or "begun in part, without pump_a" in trial.reason)


def test_a_line_that_comes_and_goes_ends_the_run(tmp_path: Path) -> None:
    """Once in every look at the counters, which take two questions; and so nothing is ever seen in one piece."""
    asked: list[int] = []

    def flutters(board: Any, now_s: float) -> None:
        last, line = len(reach.sent), board.lines[PUMPS]
        if now_s >= max(SETUP_S, line.unplugged_until_s) and last not in asked and reach.sent[-1][2] == b"0DIS\r":
            asked.append(last)
            if len(asked) % 3 == 1:
                line.unplugged_until_s = now_s + 10.0

    reach = Reach(tmp_path, "on_lost: {retry_for: 1 min}\n", ONE, flutters)
    assert reach.run() == 3
    assert "comes and goes" in reach.state().reason and begun(reach, "pump_a") == []
    assert len(reach.facts(e.InstrumentLost)) == 4
