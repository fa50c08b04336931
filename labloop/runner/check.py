"""Everything that can be known before anything moves: does this campaign fit this bench, and what will it ask of it?

``check`` opens no port and sets nothing. Every step of every phase is held against what its driver declares and
against the envelope (driver, lab, campaign), at the worst settings that the space allows (see campaign.extremes): an
act that could leave a limit on the last day is refused on the first. Amounts, times and stock follow from several
settings at once; they are looked at wherever one of those has its least or greatest, and at points inside.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Final

from labloop.bench.bounds import Bound
from labloop.bench.declared import Declaration, declare, key_complaints, port_keys
from labloop.bench.instrument import Action, Expected, Setting, Signal
from labloop.bench.safety import Envelope
from labloop.bench.settings import in_unit, suggest
from labloop.campaign import asking, recipe
from labloop.campaign.constraints import meanings
from labloop.campaign.errors import LabloopError, SpecError
from labloop.campaign.events import PERSON, Amount
from labloop.campaign.extremes import Extreme, worst_cases
from labloop.campaign.formula import Expression
from labloop.campaign.lab_spec import LabSpec, check_against_lab
from labloop.campaign.ranges import Range
from labloop.campaign.space import Space
from labloop.campaign.spec import CampaignSpec
from labloop.campaign.steps import Stage, Step
from labloop.campaign.text import quantity, settings
from labloop.campaign.units import convert

from .addresses import complaints_about
from .benches import not_simulated, simulated_complaints
from .foresight import OF_A_TRIAL, able, conditional, disorder, not_kept, overflow, runs, unfit, unit_of_amounts, unsafe
from .resolved_plan import Plan, Reach, Settings, Stock, drawn_first
from .schedule import planned
from .worst_points import corners_or_rows, rows, worst_points

PHASES: Final = ("setup", "each_batch", "trial", "cleanup", "teardown")
# Below five of the smallest differences that an instrument can make, rounding alone is more than a tenth of the amount.
COARSE: Final = 5.0
# Points inside the space at which amounts, times and stock are looked at, beside the extremes of every setting.
INSIDE: Final = 64
# Combinations of choices that a limit's condition may speak of, at each of those points.
MOST_CHOICES: Final = 64


def check(spec: CampaignSpec, lab: LabSpec | None, *, live: bool = False) -> Plan:
    """Hold a campaign against its space, its lab and its drivers; complaints and the plan. Raises nothing of ours.

    live: real ports are meant, so every instrument needs one.
    """
    plan = Plan(campaign=spec.campaign, trials=spec.budget.trials, attempts=spec.budget.attempts)
    plan.desirability = {name: one.desired for name, one in spec.outcomes.items() if one.shape is not None}
    space = Space(spec)
    try:
        inside = space.sample(INSIDE, 0)
    except SpecError as error:
        where = "candidates" if spec.candidates else "constraints" if spec.constraints else "parameters"
        plan.complaints += [spec.complaint((where,), complaint) for complaint in error.complaints]
        return plan
    plan.complaints += import_module("labloop.planner.problem").complaints(spec)
    if lab is None:
        if spec.trial:
            plan.warnings.append(f"{spec.place('trial')}: a recipe without a lab can only be asked and told")
        return plan
    plan.complaints += check_against_lab(spec, lab)
    try:
        declared = declare(lab)
        port_keys(lab)
        if live:
            plan.complaints += key_complaints(lab)
        envelope = Envelope(lab, spec, declared)
        extremes = worst_cases(spec)
    except SpecError as error:
        plan.complaints += [line for line in error.complaints if line not in plan.complaints]
        return plan
    plan.complaints += [*unsafe(lab, envelope, spec), *([] if live else simulated_complaints(lab))]
    plan.safety = {name: one.watchdog for name, one in declared.items()}
    plan.warnings += [*not_kept(lab, declared), *complaints_about(lab), *([] if live else not_simulated(lab))]
    bench = _Bench(spec, lab, declared, envelope, space, extremes, inside, plan, live)
    bench.examine()
    if bench.adds_up:
        full, filling = overflow(spec, envelope, bench.points, plan.attempts)
        order = list(disorder(spec, envelope, bench.points[0]))
        plan.complaints += [*full, *bench.after_acts(), *(text for certain, text in order if certain)]
        plan.warnings += [*filling, *(text for certain, text in order if not certain)]
    plan.complaints = list(dict.fromkeys(plan.complaints))
    return plan


def outside(spec: CampaignSpec, lab: LabSpec) -> list[str]:
    """Complaints about settings that leave the envelope: the part of ``check`` that holds for whoever does it by hand.

    Raises SpecError where the envelope cannot be drawn: a driver that is not here, limits that name nothing.
    """
    space, plan = Space(spec), Plan(campaign=spec.campaign)
    declared = declare(lab)
    envelope = Envelope(lab, spec, declared)
    bench = _Bench(
        spec, lab, declared, envelope, space, worst_cases(spec), space.sample(INSIDE, 0), plan, live=True
    )  # fmt: skip
    bench.examine_steps()
    if bench.adds_up:
        bench.beyond += bench.after_acts()
    return list(dict.fromkeys(bench.beyond))


@dataclass(slots=True)
class _Bench:
    """One campaign on one bench, while it is examined."""

    spec: CampaignSpec
    lab: LabSpec
    declared: Mapping[str, Declaration]
    envelope: Envelope
    space: Space
    worst: tuple[Extreme, ...]
    inside: Sequence[Settings]
    plan: Plan
    live: bool
    saved: dict[str, list[Action]] = field(default_factory=dict)  # several: under conditions that exclude each other
    beyond: list[str] = field(default_factory=list)  # of the plan's complaints, those of the envelope
    extremes: Mapping[str, Extreme] = field(init=False)  # by place
    points: list[Settings] = field(init=False)

    def __post_init__(self) -> None:
        self.extremes = {one.place: one for one in self.worst}
        self.points = [*self.inside, *(at for one in self.worst for at in (one.low_at, one.high_at) if at)]

    @property
    def adds_up(self) -> bool:
        """Whether it can be told what the steps take and move: what is complained about so far is only not allowed."""
        return not self.plan.complaints or able(self.spec, self.lab, self.declared, self.points)

    def after_acts(self) -> list[str]:
        """Settings beyond a limit that speaks of the acts before; of a recipe that adds up."""
        seen = [*self.points, *worst_points(self.spec, self.space, self.envelope, self.inside)]
        return list(conditional(self.spec, self.envelope, seen, lambda at: meanings(at, self.space.parameters)))

    def examine(self) -> None:
        self.examine_steps()
        self._examine_outcomes()
        if self.adds_up:
            self._add_up()

    def examine_steps(self) -> None:
        for phase in (*PHASES, *(f"every.{index}" for index in range(len(self.spec.every)))):
            for stage in self.spec.steps_of(phase):
                for step in stage.steps:
                    self._examine_step(phase, stage, step)

    # --- one step -------------------------------------------------------------------------------------------------

    def _examine_step(self, phase: str, stage: Stage, step: Step) -> None:
        if step.instrument == PERSON:
            self._examine_person(phase, stage, step)
            return
        declaration = self.declared.get(step.instrument)
        if declaration is None:
            return  # check_against_lab has said so
        action = declaration.actions.get(step.action)
        if action is None:
            self._complain(
                step, "", f"{step.instrument} has no action {step.action}; {suggest(step.action, declaration.actions)}"
            )
            return
        known = {setting.name: setting for setting in action.settings}
        sound = True
        for name in step.settings:
            if name not in known:
                self._complain(step, name, f"{step.name} has no setting {name}; {suggest(name, known)}")
                sound = False
        for name, setting in known.items():
            if setting.required and setting.default is None and name not in step.settings:
                self._complain(step, "", f"{step.name} needs {name} ({setting.doc or setting.unit})")
                sound = False
        if stage.if_interrupted == "remainder" and not action.remainder:
            self._complain(
                step,
                "",
                f"if_interrupted: remainder, and {step.name} cannot deliver a remainder. Write discard, ask or again",
            )
        if step.save_as:
            self.saved.setdefault(step.save_as, []).append(action)
            if not action.gives:
                self._complain(step, "", f"{step.name} gives no reading, so nothing can be saved as {step.save_as}")
        points = self._points(phase, stage)
        for name in step.settings:
            if name in known and sound:
                sound &= self._examine_setting(stage, step, known[name], points)
        if sound:
            self._examine_together(stage, step, declaration, action, points)

    def _examine_person(self, phase: str, stage: Stage, step: Step) -> None:
        """What a person is asked must make sense, and a simulated one must know what to answer."""
        if step.action != asking.ACTION:
            self._complain(step, "", f"a person has no action {step.action}; {suggest(step.action, [asking.ACTION])}")
            return
        if step.save_as:
            self._complain(step, "", "what a person reads is saved under its own name. Take save_as out")
        for point in self._points(phase, stage)[:1]:
            try:
                asked = asking.asking({name: self._amount(step, name, point) for name in step.settings})
                if not self.live:
                    asking.simulated_answer(asked, "")
            except SpecError as error:
                for complaint in error.complaints:
                    self._complain(step, "", complaint)
                return
            for name, kind in asked.reads.items():
                unit = "" if kind in asking.WORDS else kind
                given = Action(name=step.action, gives=(Signal(name=name, unit=unit),))
                self.saved.setdefault(name, []).append(given)

    def _examine_setting(self, stage: Stage, step: Step, setting: Setting, points: list[Settings]) -> bool:
        """The envelope at the least and the greatest that this setting can be."""
        extreme = self.extremes.get(self.spec.place(step.path_of(setting.name)))
        try:
            for point in points:
                in_unit(setting, self._amount(step, setting.name, point))
            if extreme is None or setting.choices:
                return True
            low, high = (float(in_unit(setting, Amount(one, extreme.unit))) for one in (extreme.low, extreme.high))
        except LabloopError as error:
            self._complain(step, setting.name, str(error))
            return False
        low_at = extreme.low_at
        least, least_at = low, low_at
        if setting.zero and low == 0.0:  # doing nothing is allowed; what is the least that is done?
            doing = {self._number(step, setting, point): point for point in points}
            least = min((value for value in doing if value > 0.0), default=0.0)
            least_at = doing.get(least, low_at)
            if extreme.high > 0.0 and (setting.low or 0.0) > 0.0:
                self.plan.warnings.append(
                    f"{self.spec.place(step.path_of(setting.name))}: {step.name}: {setting.name} can come as near to "
                    f"0 as you like (at {settings(low_at)}), and from above 0 to {quantity(setting.low, setting.unit)} "
                    "it cannot be done: such a trial would be refused. Keep it away from 0 with a constraint"
                )
        sound = True
        for bound in self.envelope.bounds(step.instrument, step.action, setting.name):
            worst, at = (high, extreme.high_at) if bound.sign == "<=" else (least, least_at)
            if bound.when is not None:
                seen = [*points, *(rows(self.space) if points != [{}] else ()), extreme.high_at, extreme.low_at]
                worst, at = self._worst_when(step, setting, bound, stage.when, seen) or (worst, at)
            if (setting.zero and worst == 0.0) or not bound.broken_by(worst) or not self._binds(bound, at):
                continue
            sound = False
            where = f" (at {settings(at)})" if at else ""
            change = "Lower" if bound.sign == "<=" else "Raise"
            said = f"{step.name} can be asked for {quantity(worst, setting.unit, 6)}{where}, {bound}"
            self._leave(step, setting.name, f"{said}. {change} it, or {bound.way_out}")
        if extreme.low_at or extreme.high_at:
            self.plan.reaches.append(
                Reach(
                    instrument=step.instrument, setting=f"{step.action}.{setting.name}", unit=setting.unit, low=low,
                    high=high, low_at=extreme.low_at, high_at=extreme.high_at,
                )
            )  # fmt: skip
        return sound

    def _worst_when(
        self, step: Step, setting: Setting, bound: Bound, when: Expression | None, points: list[Settings]
    ) -> tuple[float, Settings] | None:
        """The worst of a setting where a conditional bound holds: at every point, with every choice it speaks of."""
        found: tuple[float, Settings] | None = None
        choices = {
            name: one.values
            for name, one in self.space.parameters.items()
            if name in bound.when.names and not isinstance(one, Range) and self.space.candidates is None
        }
        for point in points:
            for chosen in itertools.islice(itertools.product(*choices.values()), MOST_CHOICES):
                here = {**point, **dict(zip(choices, chosen, strict=True))}
                if not self._binds(bound, here) or not self._holds(when, here) or (point and self.space.contains(here)):
                    continue
                value = self._number(step, setting, here)
                if setting.zero and value == 0.0:
                    continue
                if found is None or (value > found[0] if bound.sign == "<=" else value < found[0]):
                    found = value, here
        return found

    def _binds(self, bound: Bound, point: Settings) -> bool:
        """Whether a bound holds at these settings; one that depends on a reading is judged when the act begins."""
        return bound.holds(meanings(point, self.space.parameters), unread=False)

    def _examine_together(
        self, stage: Stage, step: Step, declaration: Declaration, action: Action, points: list[Settings]
    ) -> None:
        """What the driver says of its settings together, and whether it can make amounts so small."""
        follow = self.envelope.fixed(step.instrument).keys() - step.settings.keys()
        extreme = corners_or_rows(self.space) if follow and points != [{}] else []
        for point in [*points, *(one for one in extreme if self._holds(stage.when, one))]:
            amounts = {name: self._amount(step, name, point) for name in step.settings}
            try:
                complaints = self.envelope.complaints(
                    step.instrument, step.action, amounts, meanings(point, self.space.parameters), unread=False
                )
            except LabloopError as error:
                self._complain(step, "", f"{str(error).rstrip('.')}{f' (at {settings(point)})' if point else ''}")
                return
            if complaints:
                self._leave(step, "", f"{complaints[0].rstrip('.')}{f' (at {settings(point)})' if point else ''}")
                return
        setting = next((one for one in action.settings if one.name == action.amount), None)
        if setting is None or not setting.resolution:
            return
        moved = [(self._moved(step, declaration, action, point, setting.unit), at) for at, point in enumerate(points)]
        least, at = min(((one, at) for one, at in moved if one > 0.0), default=(0.0, 0))
        where = f" at {settings(points[at])}" if least and points[at] else ""
        said = (
            f"the least {setting.name} is {quantity(least, setting.unit)}{where}, and {declaration.kind} moves in "
            f"steps of {quantity(setting.resolution, setting.unit)}"
        )
        if 0.0 < least < setting.resolution:
            self._complain(step, "", f"{said}. Raise the least amount, or take a smaller syringe")
        elif 0.0 < least < COARSE * setting.resolution:
            self.plan.warnings.append(f"{self.spec.place(step.path)}: {said}: rounding alone is a tenth of it or more")

    # --- all together ---------------------------------------------------------------------------------------------

    def _examine_outcomes(self) -> None:
        for name, outcome in self.spec.outcomes.items():
            for source in () if outcome.told else outcome.sources:
                # The campaign's own reading has complained about a name that nothing saves.
                given = [action.gives[0] for action in self.saved.get(source, ()) if action.gives]
                for key, rule in unfit(outcome, source, given):
                    self.plan.complaints.append(self.spec.complaint(("outcomes", name, key), rule))

    def _add_up(self) -> None:
        """Time and stock at worst: over one trial, and over every attempt that the budget allows."""
        self.plan.trial_s = max(sum(self._seconds(phase, point) for phase in OF_A_TRIAL) for point in self.points)
        comes_in = runs(self.spec, self.plan.attempts or 1)
        if self.plan.attempts is not None:
            beside = sum(comes_in[one] * self._seconds(one, {}) for one in comes_in if one not in OF_A_TRIAL)
            self.plan.whole_s = beside + comes_in["trial"] * self.plan.trial_s
        for name, declaration in self.declared.items():
            held = self.lab.instruments[name].stock
            unit = held.unit if held is not None else unit_of_amounts(declaration)
            of_trials = [sum(self._drawn(name, unit, one, point) for one in OF_A_TRIAL) for point in self.points]
            per_trial, at = max(of_trials), self.points[of_trials.index(max(of_trials))]
            others = {one: self._drawn(name, unit, one, {}) for one in comes_in if one not in OF_A_TRIAL}
            needed = per_trial * comes_in["trial"] + sum(comes_in[one] * each for one, each in others.items())
            if max(per_trial, needed, *others.values()) <= 0.0:
                continue
            self.plan.stock[name] = Stock(needed=needed, held=held.value if held is not None else None, unit=unit)
            first, before = drawn_first(others, per_trial, unit)
            if held is None or max(needed, first) <= held.value:
                continue
            place = self.lab.named(("instruments", name, "stock"))
            if first > held.value:
                self.plan.complaints.append(
                    f"{place} = {held}: one trial can draw {quantity(max(per_trial, 0.0), unit)} "
                    f"(at {settings(at)}){before}. Fill in more, or lower the amounts"
                )
            elif self.plan.attempts is not None:
                lasts = (held.value - others["setup"]) * self.plan.attempts // (needed - others["setup"])
                self.plan.warnings.append(
                    f"{place} = {held}: lasts for {int(lasts)} trials at "
                    f"worst, and the budget allows {self.plan.attempts} attempts"
                )

    def _seconds(self, phase: str, point: Settings) -> float:
        total = 0.0
        for stage in planned(self.spec, phase, point):
            total += max((self._expected(step, point).duration_s for step in stage.steps), default=0.0)
        return total

    def _drawn(self, name: str, unit: str, phase: str, point: Settings) -> float:
        """What a phase takes out of one instrument's stock, less what it draws up."""
        total = 0.0
        for stage in planned(self.spec, phase, point) if unit else ():
            for step in stage.steps:
                if step.instrument != name:
                    continue
                action = self.declared[name].actions[step.action]
                moved = self._expected(step, point).achieved.get(action.amount) if action.amount else None
                if moved is not None:
                    total += (-1.0 if action.fills else 1.0) * convert(float(moved.value), moved.unit, unit)
        return total

    # --- words ----------------------------------------------------------------------------------------------------

    def _expected(self, step: recipe.PlannedStep, point: Settings) -> Expected:
        if step.instrument == PERSON:
            return Expected(duration_s=asking.asking(step.settings).reach_by_s)
        values = self.envelope.resolve(step.instrument, step.action, step.settings)
        return self.declared[step.instrument].expected(step.action, values)

    def _moved(self, step: Step, declaration: Declaration, action: Action, point: Settings, unit: str) -> float:
        amounts = {name: self._amount(step, name, point) for name in step.settings}
        values = self.envelope.resolve(step.instrument, step.action, amounts)
        moved = declaration.expected(step.action, values).achieved.get(action.amount)
        return convert(float(moved.value), moved.unit, unit) if moved is not None else 0.0

    def _amount(self, step: Step, name: str, point: Settings) -> Amount:
        return recipe.amount(step.settings[name], meanings(point, self.space.parameters))

    def _number(self, step: Step, setting: Setting, point: Settings) -> float:
        return float(in_unit(setting, self._amount(step, setting.name, point)))

    def _points(self, phase: str, stage: Stage) -> list[Settings]:
        """The settings under which a stage is looked at: the space's for a trial's, none for a phase of its own."""
        return [at for at in (self.points if phase in OF_A_TRIAL else [{}]) if self._holds(stage.when, at)]

    def _holds(self, when: Expression | None, point: Settings) -> bool:
        return when is None or recipe.holds(when, meanings(point, self.space.parameters), self.space.parameters)

    def _leave(self, step: Step, setting: str, rule: str) -> None:
        self._complain(step, setting, rule)
        self.beyond.append(self.plan.complaints[-1])

    def _complain(self, step: Step, setting: str, rule: str) -> None:
        path = step.path_of(setting) if setting else step.path
        self.plan.complaints.append(self.spec.complaint(path, rule))
