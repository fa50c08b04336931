"""The table of what a half-done stage comes to, row by row."""

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from labloop.bench import Action, Verdict
from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.recipe import PlannedStage, PlannedStep
from labloop.runner import recovery
from labloop.runner.schedule import NextStage
from labloop.runner.step import StepHand

PUMP = Action(name="dispense", act=True, evidence="counter", remainder=True, amount="volume")
HOLD = Action(name="hold", act=True, holds=True)
READ = Action(name="measure", repeatable=True)
ACTIONS = {("a", "dispense"): PUMP, ("b", "dispense"): PUMP, ("hot", "hold"): HOLD, ("spec", "measure"): READ}
ACTIONS |= {("stir", "run"): READ}
FULL, REST = {"volume": e.Amount(10.0, "uL")}, {"volume": e.Amount(3.0, "uL")}


def ahead(*names: tuple[str, str], says: str | None = None, attempt: int = 1) -> NextStage:
    steps = tuple(PlannedStep(instrument=name, action=action) for name, action in names)
    stage = PlannedStage(steps=steps, if_interrupted=says)
    return NextStage(number=0, stage=stage, steps=dict(enumerate(steps)), attempt=attempt)


def step(
    instrument: str, index: int, state: str = s.FAILED, settings: Mapping[str, e.Amount] = FULL, **words: object
) -> s.StepState:
    action = next(action for name, action in ACTIONS if name == instrument)
    begun = e.StepStarted(
        step=f"1.{index}", trial=1, phase="trial", stage=0, index=index, instrument=instrument, action=action,
        settings=dict(settings),
    )  # fmt: skip
    return s.StepState(begun=begun, seq=1, started="", state=state, **words)  # type: ignore[arg-type]


def judged(stage: NextStage, *steps: s.StepState, teaches: tuple[str, ...] = ()) -> recovery.Judgement:
    return recovery.judge(stage, steps, "trial", ACTIONS, teaches)


ONE = (("a", "dispense"),)
TWO = (("a", "dispense"), ("b", "dispense"))


def test_a_stage_that_nobody_began_is_run() -> None:
    assert judged(ahead(*TWO)).verdict == "run"


def test_what_was_not_begun_is_done_now() -> None:
    assert judged(ahead(*ONE, attempt=2), step("a", 0, fault="not_done")).verdict == "run"


def test_a_group_cut_short_is_discarded_by_default() -> None:
    judgement = judged(ahead(*TWO, attempt=2), step("a", 0, s.FINISHED), step("b", 1, fault="interrupted"))
    assert judgement.verdict == "abandon" and "b" in judgement.why


def test_a_group_of_which_only_one_was_begun_and_done_is_discarded() -> None:
    assert judged(ahead(*TWO), step("a", 0, s.FINISHED)).verdict == "abandon"


def test_a_group_of_which_nothing_was_begun_is_run() -> None:
    two = step("a", 0, fault="not_done"), step("b", 1, fault="not_done")
    assert judged(ahead(*TWO, attempt=2), *two).verdict == "run"


def test_the_remainder_is_delivered_where_the_recipe_says_so() -> None:
    judgement = judged(ahead(*ONE, says="remainder"), step("a", 0, fault="interrupted", remainder=REST))
    assert judgement.verdict == "run" and judgement.overrides == {0: REST}


def test_a_remainder_that_did_not_begin_stays_a_remainder() -> None:
    cut = step("a", 0, fault="interrupted", remainder=REST)
    for says in ("remainder", "ask"):
        tries = [cut]
        for attempt in (3, 4):  # its runner was killed before it began, once and once more
            tries.append(step("a", 0, settings=REST, fault="not_done"))
            judgement = judged(ahead(*ONE, says=says, attempt=attempt), *tries)
            assert judgement.verdict == "run" and judgement.overrides == {0: REST}


def test_of_a_group_each_is_owed_what_its_own_tries_have_left() -> None:
    both = [step(name, index, fault="interrupted", remainder=REST) for index, name in enumerate("ab")]
    unbegun = step("b", 1, settings=REST, fault="not_done")
    done = judged(ahead(*TWO, says="remainder", attempt=3), *both, step("a", 0, s.FINISHED, settings=REST), unbegun)
    assert done.verdict == "run" and done.overrides == {1: REST}
    less = {"volume": e.Amount(1.0, "uL")}
    again = step("a", 0, settings=REST, fault="interrupted", remainder=less)
    cut = judged(ahead(*TWO, says="remainder", attempt=3), *both, again, unbegun)
    assert cut.verdict == "run" and cut.overrides == {0: less, 1: REST}


def test_what_is_done_again_in_full_and_did_not_begin_is_done_in_full() -> None:
    tries = step("a", 0, fault="interrupted", remainder=REST), step("a", 0, fault="not_done")
    judgement = judged(ahead(*ONE, says="again", attempt=3), *tries)
    assert judgement.verdict == "run" and judgement.overrides == {0: FULL}


def test_a_remainder_that_nobody_knows_is_not_guessed() -> None:
    assert judged(ahead(*ONE, says="remainder"), step("a", 0, fault="interrupted")).verdict == "abandon"


def test_a_persons_answer_decides_where_the_recipe_asks() -> None:
    answered = step("a", 0, fault="interrupted", remainder=REST, by="ann")
    judgement = judged(ahead(*ONE, says="ask"), answered)
    assert judgement.verdict == "run" and judgement.overrides == {0: REST}


def test_what_may_be_repeated_is_repeated() -> None:
    assert judged(ahead(("spec", "measure")), step("spec", 0, fault="interrupted")).verdict == "run"


def test_a_hold_cut_short_is_discarded() -> None:
    assert judged(ahead(("hot", "hold")), step("hot", 0, fault="interrupted")).verdict == "abandon"


@pytest.mark.parametrize(("teaches", "verdict"), [((), "abandon"), (("stall",), "fail")])
def test_a_stall_is_chemistry_only_where_the_campaign_says_so(teaches: tuple[str, ...], verdict: str) -> None:
    assert judged(ahead(*ONE), step("a", 0, fault="stall", reason="stalled"), teaches=teaches).verdict == verdict


def test_what_was_refused_stays_refused() -> None:
    assert judged(ahead(*ONE), step("a", 0, fault="safety", reason="too hot")).verdict == "refuse"


def test_a_discard_by_a_person_abandons_the_trial() -> None:
    assert judged(ahead(*ONE), step("a", 0, fault="discarded", reason="by ann")).verdict == "abandon"


def test_nothing_is_tried_for_ever() -> None:
    tries = [step("spec", 0, fault="interrupted")] * recovery.MOST_ATTEMPTS
    assert judged(ahead(("spec", "measure")), *tries[1:]).verdict == "run"
    assert judged(ahead(("spec", "measure")), *tries).verdict == "abandon"


@pytest.mark.parametrize(
    ("verdict", "says", "fact", "fault"),
    [
        (Verdict(state="done", why="w", achieved=REST), "ask", e.StepFinished, ""),
        (Verdict(state="not_begun", why="w"), "ask", e.StepFailed, "not_done"),
        (Verdict(state="partial", why="w", achieved=REST), "discard", e.StepFailed, "interrupted"),
        (Verdict(state="partial", why="w", achieved=REST), "ask", e.StepInDoubt, ""),
        (Verdict(state="cannot_tell", why="w"), "discard", e.StepInDoubt, ""),
        (None, "again", e.StepFailed, "interrupted"),
    ],
)
def test_what_an_instruments_answer_comes_to(verdict: Verdict | None, says: str, fact: type, fault: str) -> None:
    settled = recovery.settle(step("a", 0, s.STARTED), says, verdict, 5.0)
    assert isinstance(settled, fact) and getattr(settled, "fault", "") == fault


def test_nobody_is_asked_about_what_may_be_repeated() -> None:
    settled = recovery.settle(
        step("a", 0, s.STARTED), "again", Verdict(state="cannot_tell", why="w"), 5.0, repeatable=True
    )
    assert isinstance(settled, e.StepFailed)


def test_a_person_who_says_not_done_is_taken_at_their_word_in_a_group() -> None:
    two = step("a", 0, s.FINISHED), step("b", 1, fault="not_done", by="ann")
    assert judged(ahead(*TWO, attempt=2), *two).verdict == "run"
    two = step("a", 0, s.FINISHED), step("b", 1, fault="not_done", by="instrument")
    assert judged(ahead(*TWO, attempt=2), *two).verdict == "abandon"


def test_what_the_instrument_says_is_done_ended_when_it_ended_at_the_earliest() -> None:
    settled = recovery.settle(step("a", 0, s.STARTED), "ask", Verdict(state="done", why="w"), 500.0, ended_s=20.0)
    assert isinstance(settled, e.StepFinished) and settled.t_s == 20.0


def test_what_may_be_repeated_is_tried_again_after_its_instruments_fault_but_not_for_ever() -> None:
    faulty = step("spec", 0, fault="stopped", reason="the power went")
    first = judged(ahead(("spec", "measure")), faulty)
    assert first.verdict == "run" and first.wait_s == recovery.RETRY_S
    assert judged(ahead(("spec", "measure")), faulty, faulty).wait_s == 2 * recovery.RETRY_S
    assert judged(ahead(("spec", "measure")), *[faulty] * recovery.MOST_TRIES).verdict == "abandon"
    assert judged(ahead(*ONE, attempt=2), step("a", 0, fault="stopped", reason="w")).verdict == "abandon"
    nights = [step("spec", 0, s.FINISHED)] * recovery.MOST_ATTEMPTS  # each time it was set again in the morning
    tried = judged(ahead(("spec", "measure"), attempt=len(nights) + 2), *nights, faulty)
    assert tried.verdict == "run" and tried.wait_s == recovery.RETRY_S


def test_what_befell_its_neighbour_is_not_counted_against_it() -> None:
    """A stirrer that was set again each morning, and a first fault of what it shares a stage with."""
    pair = (("spec", "measure"), ("stir", "run"))
    mornings = [step("stir", 1, s.FINISHED)] * recovery.MOST_ATTEMPTS
    faulty, cut = step("spec", 0, fault="stopped", reason="the power went"), step("stir", 1, fault="interrupted")
    first = judged(ahead(*pair, attempt=len(mornings) + 2), *mornings, cut, faulty)
    assert first.verdict == "run" and first.wait_s == recovery.RETRY_S
    twice = judged(ahead(*pair, attempt=4), cut, faulty, cut, faulty, step("stir", 1, fault="stopped", reason="stalls"))
    assert twice.verdict == "run" and twice.wait_s == 2 * recovery.RETRY_S
    last = judged(ahead(*pair, attempt=4), cut, faulty, cut, faulty, cut, faulty)
    assert last.verdict == "abandon" and last.why == "spec: the power went"


def test_a_trial_of_which_nothing_was_begun_leaves_nothing_to_clean_up() -> None:
    assert recovery.made_nothing([step("a", 0, fault="not_done")])
    assert not recovery.made_nothing([step("a", 0, fault="not_done"), step("b", 1, s.FINISHED)])
    assert not recovery.made_nothing([step("a", 0, fault="interrupted")])


@pytest.mark.parametrize(("state", "says"), [("stopped", "partial"), ("not stopped", "cannot_tell")])
def test_what_the_guard_read_tells_only_of_an_instrument_that_it_saw_stand_still(state: str, says: str) -> None:
    """One that nobody saw stop went on: the rest of its act, done again, would be done twice."""
    begun = e.StepStarted(
        step="a", phase="trial", stage=0, index=0, instrument="pump", action="dispense", settings={},
        before={"infused": e.Amount(0.0, "uL")},
    )  # fmt: skip
    witness = e.Witness(state=state, after={"infused": e.Amount(50.0, "uL")})
    guard = e.SafeStateReached(why="gone", by="guard", found={"pump": witness})
    told = Verdict(state="partial", why="it stood at 50 uL")
    driver = SimpleNamespace(
        happened=lambda *asked: Verdict(state="cannot_tell", why="its counters were lost"),
        witnessed=lambda action, settings, before, after, reply: told if after == witness.after else None,
        overheard=lambda said: None,
    )

    async def named(name: str, method: Any, *asked: Any) -> Any:
        return method(*asked)

    facts = [e.RunStarted(), begun, guard]
    hand: Any = SimpleNamespace(
        memory=SimpleNamespace(state=s.fold([e.Record(seq=n + 1, at="", event=one) for n, one in enumerate(facts)])),
        stations={"pump": SimpleNamespace(driver=driver)}, reach=SimpleNamespace(named=named),
        action=lambda *name: SimpleNamespace(holds=False), act_name=lambda step: step,
    )  # fmt: skip
    assert asyncio.run(StepHand.ask(hand, hand.memory.state.steps["a"])).state == says


def test_what_is_done_again_all_the_same_is_the_rest_and_stays_the_rest_until_it_is_begun() -> None:
    stalled = step("a", 0, fault="stall", reason="the plunger is blocked", remainder=REST)
    untried = step("a", 0, fault="not_done", settings=REST)
    for says, steps, override in (
        ("remainder", [stalled], {0: REST}), ("remainder", [stalled, untried], {0: REST}), ("ask", [stalled], {}),
        ("remainder", [stalled, step("a", 0, s.FINISHED, settings=REST)], {}),
    ):  # fmt: skip
        ahead_ = ahead(*ONE, says=says, attempt=2)
        found = recovery.judge(ahead_, steps, "trial", ACTIONS, (), forgive=True)
        assert found.verdict == "run" and found.overrides == override, (says, len(steps))
