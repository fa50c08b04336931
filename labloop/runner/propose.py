"""What is tried next, and whether anything is: budget, stopping rules, repeats, controls, and the planner's proposals.

Order of claim on a free place: settings that the bench spoiled, controls that are due, repeats that are owed, and then
what the planner proposes. A plan is used only while the result it is based on is still the last one.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.amending import Holding
from labloop.campaign.objective import Objective
from labloop.campaign.space import Space
from labloop.campaign.spec import CampaignSpec
from labloop.campaign.spending import Spending
from labloop.campaign.stopping import Stopping
from labloop.campaign.text import duration
from labloop.planner.errors import NothingLeftError, PlannerError

from .clock import Clock
from .folder import portable


class Proposer:
    """Answers three questions of the loop: is it over, how much room is there, and what comes next."""

    def __init__(
        self, spec: CampaignSpec, planner: Any, clock: Clock, former: Sequence[CampaignSpec] = ()
    ) -> None:  # fmt: skip
        self.planner = planner
        self.clock = clock
        self.former = list(former)  # the campaign as it was before it was amended
        self._read(spec)
        if former:
            self._tell_planner()

    def _read(self, spec: CampaignSpec) -> None:
        self.spec = spec
        self.objective = Objective(spec)
        self.stopping = Stopping(spec, self.objective)
        self.spending = Spending(spec)
        self.space = Space(spec)
        self.holding = Holding(spec)
        self.nothing_left: str | None = None  # every candidate was tried
        self._judged: tuple[object, str | None] | None = None  # by the stopping rules, and on what

    def amend(self, spec: CampaignSpec) -> None:
        """Another text of the campaign is in force from now on."""
        self.former.append(self.spec)
        self._read(spec)
        self._tell_planner()

    def _tell_planner(self) -> None:
        self.planner.amend(portable(self.spec), [portable(one) for one in self.former])

    def why_finished(self, state: s.CampaignState) -> str | None:
        """Why nothing more is to be tried; None when something is."""
        target, awaiting = self._target(state), self._awaiting(state)
        if target is not None and state.measured + awaiting >= target and not self._repeats(state):
            if awaiting:
                owed = "to be compared" if self._by_taste else "results are owed: tell them"
                return f"{state.measured} of {target} trials are measured, and {awaiting} {owed}"
            return f"the budget of {target} trials is measured"
        attempts = self._attempts(state)
        if attempts is not None and state.attempts >= attempts and not self._repeats(state):
            return f"{state.attempts} attempts were made, the budget's most; {state.measured} trials are measured"
        spent_s = self.clock.now_s() - state.unwatched_s
        if self.spec.budget.time_s is not None and spent_s >= self.spec.budget.time_s:
            return f"the budget's time of {duration(self.spec.budget.time_s)} is over"
        if self.spec.budget.cost is not None and (spent := self.spending.so_far(state)) >= self.spec.budget.cost:
            return f"{spent:g} of the budget's cost of {self.spec.budget.cost:g} are spent"
        if reason := self._stopped(state):
            return reason
        return None if state.owed_again else self.nothing_left

    def _stopped(self, state: s.CampaignState) -> str | None:
        """What the stopping rules say; they go through all trials, so they are asked when there is news of one."""
        news = (state.last_result, len(state.amendments), state.outliers)
        if self._judged is None or self._judged[0] != news:
            self._judged = news, self.stopping.reason(state)
        return self._judged[1]

    def awaits(self, state: s.CampaignState) -> str:
        """What only a person can do, when nothing goes on before it is done; "": nothing, or something goes on.

        It becomes the reason of a pause, a fact that is read when it is done as well; how it is done, whoever shows the
        run says, who knows how it is called there.
        """
        unmade = {n: state.trials[n] for n in sorted(state.open_trials) if state.trials[n].state != s.AWAITING}
        if any(trial.state != s.PROPOSED or trial.approved_by for trial in unmade.values()):
            return ""
        proposed = list(unmade)
        if self.spec.approval == "human" and proposed:
            trials = f"trial{'s' if len(proposed) > 1 else ''} {', '.join(map(str, proposed))}"
            return f"{trials} waited for approval"
        if (ahead := self._ahead(state)) >= self.spec.design.batch:
            return f"{ahead} made trials waited to be compared"
        return ""

    def room(self, state: s.CampaignState, busy: int) -> int:
        """How many more trials may be proposed now, with ``busy`` in flight."""
        if self.why_finished(state):
            return 0
        free = self.spec.design.batch - busy - (0 if state.owed_again else self._ahead(state))
        left = self._left(state)
        if left is not None:
            free = min(free, max(left, len(self._repeats(state))))
        if (self.spec.each_batch or self.space.shared) and busy and free > 0:
            return 0  # a batch starts together
        return max(free, 0)

    def due_phase(self, state: s.CampaignState) -> str | None:
        """A phase that is to run before the next trial: ``each_batch``, or an ``every`` whose trials are full."""
        for index, every in enumerate(self.spec.every):
            if every.do and state.measured // every.trials > state.passes.get(f"every.{index}", 0):
                return f"every.{index}"
        if self.spec.each_batch:
            batches = -(-state.measured // self.spec.design.batch) if state.measured else 0
            if state.passes.get("each_batch", 0) <= batches and not self._spoilt(state):
                return "each_batch"
        return None

    async def propose(self, state: s.CampaignState, count: int) -> list[e.ProposalMade]:
        """Up to ``count`` proposals, numbered from the next trial on; fewer or none when a result came meanwhile."""
        first = state.next_trial()
        owed = self._owed(state, first, count)
        if owed:
            return [one for one in owed if self._common(one.settings) == self._common(owed[0].settings)]
        last_result, amendments, knew = state.last_result, len(state.amendments), state.seq
        try:
            future = self.planner.request(count, based_on=knew, first=first)
            answers = future.result() if self.clock.virtual else await asyncio.wrap_future(future)
        except NothingLeftError as error:
            if len(state.amendments) == amendments:
                self.nothing_left = str(error)
            return []
        except PlannerError as error:
            stale = state.next_trial() != first or len(state.amendments) != amendments
            return [] if stale else self._blind(state, first, count, str(error))
        if (state.last_result, state.next_trial(), len(state.amendments)) != (last_result, first, amendments):
            return []
        if answers and answers[0].outlook and (reason := self.stopping.reason(state, answers[0].outlook)):
            self.nothing_left = reason
            return []
        return [
            e.ProposalMade(
                trial=p.trial, sample=f"S{p.trial}", settings=p.settings, source=p.source, seed=p.seed,
                based_on=last_result, knew=knew, predicted=p.predicted, acquisition=p.acquisition,
                acquisition_value=p.acquisition_value, model=p.model, reason=p.reason, runners_up=p.runners_up,
                outlook=p.outlook, evidence=p.evidence, outliers=p.outliers,
            )
            for p in answers
        ]  # fmt: skip

    def _blind(self, state: s.CampaignState, first: int, count: int, why: str) -> list[e.ProposalMade]:
        """Without a planner the instruments need not wait: random points of the space, and the reason recorded."""
        points = self.space.sample(count, seed=(state.seed << 20) + first)
        points = [point for point in points if self._common(point) == self._common(points[0])]
        return [
            e.ProposalMade(
                trial=first + i, sample=f"S{first + i}", settings=point, source="random", seed=state.seed,
                based_on=state.last_result, reason=f"the planner did not answer: {why}",
            )
            for i, point in enumerate(points)
        ]  # fmt: skip

    def _common(self, settings: dict[str, e.Value]) -> list[e.Value | None]:
        """What all trials of a batch must have in common."""
        return [settings.get(name) for name in self.space.shared]

    def _awaiting(self, state: s.CampaignState) -> int:
        """Trials that are made, and whose result is to be told."""
        return sum(trial.state == s.AWAITING and trial.role == "candidate" for trial in state.trials.values())

    @property
    def _by_taste(self) -> bool:
        return any(outcome.prefers for outcome in self.spec.outcomes.values())

    def _ahead(self, state: s.CampaignState) -> int:
        """Trials that nobody has compared yet, once the first design is made: beyond a batch they are made blindly."""
        if not self._by_taste:
            return 0
        made = [trial for trial in state.trials.values() if trial.state in (s.MEASURED, s.AWAITING)]
        made = [trial for trial in made if trial.role == "candidate" and not trial.is_withdrawn]
        waiting = sum(not state.tastes.count(trial.trial) for trial in made)
        return waiting if len(made) >= self.spec.design.initial.trials else 0

    def _repeats(self, state: s.CampaignState) -> list[e.ProposalMade]:
        """Repeats and controls that are owed: they go beside the budgets of trials and attempts."""
        owed = [one for one in self._owed(state, state.next_trial()) if one.role != "candidate"]
        return owed[: self.spec.design.batch]

    def _left(self, state: s.CampaignState) -> int | None:
        """How many more candidates may be proposed, by trials and attempts together (None: neither is limited)."""
        under_way = [state.trials[n] for n in state.open_trials if state.trials[n].role == "candidate"]
        proposed = sum(one.state == s.PROPOSED for one in under_way)
        running = sum(one.state in (s.RUNNING, s.IN_DOUBT) for one in under_way)
        target, attempts = self._target(state), self._attempts(state)
        left = [] if attempts is None else [attempts - state.attempts - proposed]
        left += [] if target is None else [target - state.measured - self._awaiting(state) - proposed - running]
        return max(min(left), 0) if left else None

    def _target(self, state: s.CampaignState) -> int | None:
        trials = self.spec.budget.trials
        return None if trials is None else trials + state.extended_trials

    def _attempts(self, state: s.CampaignState) -> int | None:
        attempts = self.spec.budget.attempts
        return None if attempts is None else attempts + 2 * state.extended_trials

    def _spoilt(self, state: s.CampaignState) -> bool:
        return bool(state.owed_again)

    def _owed(self, state: s.CampaignState, first: int, count: int | None = None) -> list[e.ProposalMade]:
        owed: list[e.ProposalMade] = []
        left = self._left(state)

        def add(settings: dict[str, e.Value], **words: Any) -> None:
            number = first + len(owed)
            words.setdefault("sample", f"S{number}")
            owed.append(e.ProposalMade(trial=number, settings=settings, based_on=state.last_result, **words))

        for number in sorted(state.owed_again):
            spoilt = state.trials[number].proposal
            if spoilt.role == "candidate" and left is not None:
                if left == 0:
                    continue
                left -= 1
            add(
                dict(spoilt.settings), source=spoilt.source, role=spoilt.role, seed=spoilt.seed,
                predicted=spoilt.predicted, acquisition=spoilt.acquisition,
                acquisition_value=spoilt.acquisition_value, model=spoilt.model, repeat_of=spoilt.repeat_of,
                again_of=number, reason=f"trial {number} again: {state.trials[number].reason}",
            )  # fmt: skip
        for index, every in enumerate(self.spec.every):
            settings, role = (every.control, "control") if every.control else (every.blank, "blank")
            reason = f"every.{index}: a {role} each {every.trials} trials"
            done = sum(t.proposal.reason == reason for t in state.trials.values())
            if settings and state.measured // every.trials > done:
                add(dict(settings), source="human", role=role, reason=reason)
        if self.spec.remake > 1:
            for trial in state.trials.values():
                gone = trial.is_withdrawn or (bool(state.amendments) and not self.holding(trial.settings))
                if trial.role == "candidate" and trial.state == s.MEASURED and not gone:
                    made = sum(t.proposal.repeat_of == trial.trial for t in state.trials.values())
                    for _ in range(self.spec.remake - 1 - made):
                        add(
                            dict(trial.settings), source=trial.source, role="repeat", repeat_of=trial.trial,
                            reason=f"a new sample of trial {trial.trial}, to learn the noise",
                        )  # fmt: skip
        return owed[:count]
