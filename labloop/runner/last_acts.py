"""What was done last at each instrument, of what may still stand there.

It is asked about with every trial, so it keeps what may still count and not every step of the run: a campaign of weeks
has 100,000 of them.
"""

from collections.abc import Callable, Iterable

from labloop.bench import Action
from labloop.campaign.state import FAILED, FINISHED, StepState


class LastActs:
    """The steps of one run by instrument, in the order in which they began."""

    def __init__(self, steps: Iterable[StepState]) -> None:
        self._of: dict[str, list[StepState]] = {}
        self._set: dict[tuple[str, str], StepState] = {}  # the last to write a setting, however it ended
        for step in steps:
            self.begin(step)

    def begin(self, step: StepState) -> None:
        """It has begun."""
        begun = step.begun
        self._of.setdefault(begun.instrument, []).append(step)
        self._set.update(((begun.instrument, name), step) for name in begun.settings)

    def is_set_since(self, step: StepState) -> bool:
        """Whether a later step there has written one of its settings."""
        begun = step.begun
        return any(self._set[begun.instrument, name] is not step for name in begun.settings)

    def standing(self, instrument: str, known: Callable[[str], Action | None]) -> list[StepState]:
        """Of each action the last act that is over, since the instrument was stopped by one.

        ``known``: an action by its name; None: it is gone with the code that knew it.
        """
        steps = self._of.get(instrument, [])
        acts: dict[str, StepState] = {}
        for step in steps:
            action = known(step.begun.action) if step.state == FINISHED else None
            if action is None:
                continue
            if action.stops:
                acts.clear()
            acts.pop(step.begun.action, None)
            if action.evidence and action.act:
                acts[step.begun.action] = step
        # What ended before everything that may still end will never stand otherwise than now.
        open_from = next((at for at, step in enumerate(steps) if step.state not in (FINISHED, FAILED)), len(steps))
        stands = {id(step) for step in acts.values()}
        self._of[instrument] = [step for step in steps[:open_from] if id(step) in stands] + steps[open_from:]
        return [*acts.values()]
