"""Who may start: walked with facts made by hand."""

from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.recipe import PlannedStage, PlannedStep
from labloop.runner.schedule import may_start, needs, next_stage


def stage(*instruments: str) -> PlannedStage:
    return PlannedStage(steps=tuple(PlannedStep(instrument=name, action="do") for name in instruments))


def step(number: int, index: int = 0, state: str = s.FINISHED, phase: str = "trial") -> s.StepState:
    begun = e.StepStarted(step=f"{number}.{index}", phase=phase, stage=number, index=index, instrument="x", action="do")
    return s.StepState(begun=begun, seq=1, started="", state=state)


RECIPE = (stage("pump_a", "pump_b"), stage("hotplate"), stage("spectrometer"))
CLEANUP = (stage("spectrometer"),)


def test_the_first_stage_comes_first() -> None:
    ahead = next_stage(RECIPE, [], "trial")
    assert ahead is not None and ahead.number == 0 and sorted(ahead.steps) == [0, 1] and ahead.attempt == 1


def test_only_what_has_not_finished_is_left_of_a_stage() -> None:
    ahead = next_stage(RECIPE, [step(0, 0), step(0, 1, s.FAILED)], "trial")
    assert ahead is not None and ahead.number == 0 and sorted(ahead.steps) == [1] and ahead.attempt == 2


def test_a_later_attempt_overrides_an_earlier_one() -> None:
    ahead = next_stage(RECIPE, [step(0, 0), step(0, 1, s.FAILED), step(0, 1)], "trial")
    assert ahead is not None and ahead.number == 1


def test_steps_of_another_phase_do_not_count() -> None:
    ahead = next_stage(CLEANUP, [step(0)], "cleanup")
    assert ahead is not None and ahead.number == 0


def test_a_finished_recipe_has_no_next_stage() -> None:
    assert next_stage(RECIPE, [step(0, 0), step(0, 1), step(1), step(2)], "trial") is None


def test_where_the_vessel_stays_a_trial_keeps_everything_until_it_is_cleaned_up() -> None:
    everything = {"pump_a", "pump_b", "hotplate", "spectrometer"}
    for made in (False, True):
        assert needs(RECIPE, CLEANUP, [step(0, 0), step(0, 1)], made=made, pipelined=False) == everything


def test_where_samples_move_on_a_trial_frees_what_lies_behind_it() -> None:
    behind = [step(0, 0), step(0, 1)]
    assert needs(RECIPE, CLEANUP, behind, made=False, pipelined=True) == {"hotplate", "spectrometer"}
    assert needs(RECIPE, CLEANUP, behind, made=True, pipelined=True) == {"spectrometer"}
    over = [*behind, step(1), step(2)]  # and is asked whether all stands there before it counts
    assert needs(RECIPE, (), over, made=False, pipelined=True) == {"spectrometer"}
    assert not needs(RECIPE, (), over, made=True, pipelined=True) and not needs((), (), [], made=False, pipelined=True)


def test_nobody_starts_on_what_an_earlier_trial_still_needs() -> None:
    assert may_start(frozenset({"pump_a"}), [frozenset({"hotplate"})])
    assert not may_start(frozenset({"pump_a", "hotplate"}), [frozenset({"hotplate"})])
