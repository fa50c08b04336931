"""When a campaign stops before its budget is spent, and what it saw then.

    no_improvement  so many measured candidates since the last that was better than all before it (on a front: that none
                    before it dominated or equalled)
    plateau         on a front: the hypervolume grew by less than ``gain`` over the last so many candidates (the worst
                    values seen are its corner)
    regret_below    the model's bound of what could still be gained: the best that is believable anywhere (95 %) less
                    the worst that is believable of the best that was measured (Makarova et al., 2022)
    chance_below    nowhere is the model's chance of beating the best so far, by more than the noise, above this
    all             holds when every rule in it holds at once; otherwise any one rule suffices

After another space or another wish (an amendment) the count begins anew, with the best so far that the space holds.

The last two ask the planner, whose view comes with each proposal it makes: a campaign stops instead of the trial that
was no longer worth its while. Budgets of trials, attempts, time and cost are the runner's.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from importlib import import_module
from typing import Any, Final

from .amending import Holding
from .conduct import StopRules
from .grammar import CampaignSpec
from .objective import Objective

REGRET: Final = "regret_bound"
CHANCE: Final = "best_chance"


class Stopping:
    """The stopping rules of a campaign. ``asks_planner``: one of them wants the planner's outlook."""

    def __init__(self, spec: CampaignSpec, objective: Objective) -> None:
        self._spec = spec
        self._rules = spec.stop_when
        self._objective = objective
        every = [spec.stop_when, *([spec.stop_when.all] if spec.stop_when.all else [])]
        self.asks_planner = any(one.regret_below is not None or one.chance_below is not None for one in every)
        name = next(iter(objective.goals), "")
        self._unit = spec.outcomes[name].unit if name and not objective.shapes else ""

    def reason(self, state: Any, outlook: Mapping[str, float] | None = None) -> str | None:
        """Say why to stop, and what was seen; None: go on.

        state: a CampaignState, or trials in order. outlook: the planner's, where it has just made a proposal.
        """
        trials = getattr(state, "believed", state)
        trials = list(trials.values()) if isinstance(trials, Mapping) else list(trials)
        ordered = sorted(self._objective.measured(trials), key=lambda trial: getattr(trial, "finished_seq", 0))
        aimed = [one.seq for one in getattr(state, "amendments", ()) if one.is_of_aim]
        ordered = self._in_force(ordered, aimed[-1]) if aimed else ordered
        for _, seen in self._seen(self._rules, ordered, outlook):
            if seen:
                return seen
        together = self._rules.all
        if together is not None:
            found = [seen for _, seen in self._seen(together, ordered, outlook)]
            if found and all(found):
                return "; and ".join(str(one) for one in found)
        return None

    @cached_property
    def _holds(self) -> Holding:
        return Holding(self._spec)

    def _in_force(self, ordered: Sequence[Any], amended: int) -> list[Any]:
        """What counts after an amendment: of the trials before it the best that the space holds, and all since.

        So a space that was widened, or another wish, has the full number of trials before it counts as done with; and
        nothing need be better than what nobody may make any more.
        """
        kept = [trial for trial in ordered if self._holds(trial.settings)]
        before = [trial for trial in kept if trial.finished_seq < amended]
        best = self._objective.best(before)
        return [
            *(best if isinstance(best, list) else [best] if best is not None else []),
            *(trial for trial in kept if trial.finished_seq >= amended),
        ]

    def _seen(
        self, rules: StopRules, trials: Sequence[Any], outlook: Mapping[str, float] | None
    ) -> Iterator[tuple[str, str | None]]:
        """Each rule that is asked for, with what it saw when it holds."""
        if rules.no_improvement is not None:
            yield "no_improvement", self._no_improvement(rules.no_improvement, trials)
        if rules.plateau is not None:
            yield "plateau", self._plateau(rules.plateau.trials, rules.plateau.gain, trials)
        kept = any(self._objective.feasible(trial) for trial in trials)
        view = (outlook or {}) if kept else {}
        if rules.regret_below is not None:
            bound = view.get(REGRET)
            held = bound is not None and bound < rules.regret_below
            unit = f" {self._unit}".rstrip()
            yield (
                "regret_below",
                (
                    f"at most {bound:.3g}{unit} can still be gained, by the model (asked for: below "
                    f"{rules.regret_below:g}{unit}); {self._best(trials)}"
                    if held
                    else None
                ),
            )
        if rules.chance_below is not None:
            chance = view.get(CHANCE)
            held = chance is not None and chance < rules.chance_below
            yield (
                "chance_below",
                (
                    f"nowhere left is the chance of beating the best by more than the noise above {chance:.2%}, by the "
                    f"model (asked for: below {rules.chance_below:.3g}); {self._best(trials)}"
                    if held
                    else None
                ),
            )

    def _no_improvement(self, wanted: int, trials: Sequence[Any]) -> str | None:
        since, best = 0, list[Any]()
        for trial in trials:
            if self._improves(trial, best):
                best = [one for one in best if not self._objective.better(trial, one)] if self._objective.pareto else []
                best.append(trial)
                since = 0
            elif getattr(trial, "role", "candidate") == "candidate":
                since += 1
        if since < wanted:
            return None
        which = ", ".join(str(getattr(one, "trial", "?")) for one in best[:5])
        return f"no improvement in {since} trials (asked for: {wanted}); best so far is trial {which}"

    def _improves(self, trial: Any, best: Sequence[Any]) -> bool:
        if not best:
            return True
        if not self._objective.pareto:
            return self._objective.better(trial, best[0])
        same = self._objective.utilities(trial)
        return not any(self._objective.better(one, trial) or self._objective.utilities(one) == same for one in best)

    def _plateau(self, over: int, gain: float, trials: Sequence[Any]) -> str | None:
        kept = [trial for trial in trials if self._objective.feasible(trial)]
        candidates = [trial for trial in kept if getattr(trial, "role", "candidate") == "candidate"]
        if len(candidates) <= over:
            return None
        utilities = [self._objective.utilities(trial) for trial in candidates]
        corner = [min(column) for column in zip(*[one for one in utilities if one], strict=True)]
        moocore = import_module("moocore")  # brings numpy, which reading a campaign must not wait for
        now, then = (
            float(moocore.hypervolume([list(one) for one in some if one], ref=corner, maximise=True))
            for some in (utilities, utilities[:-over])
        )
        grown = (now - then) / now if now > 0.0 else 0.0
        if grown >= gain:
            return None
        return f"the front's hypervolume grew by {grown:.2%} in the last {over} trials (asked for: {gain:.2%})"

    def _best(self, trials: Sequence[Any]) -> str:
        found = self._objective.best(trials)
        some = found if isinstance(found, list) else [found] if found is not None else []
        return f"best so far is trial {', '.join(str(getattr(one, 'trial', '?')) for one in some[:5]) or 'none'}"
