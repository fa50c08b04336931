"""What a person may do with trials: add one, edit a proposal, mark a result as wrong, say which of two is better."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from labloop.campaign import text
from labloop.campaign.events import Value
from labloop.campaign.state import AWAITING, FAILED, MEASURED, TrialState
from labloop.campaign.view import comparable

from .acts import ActingScreen
from .asking import Waiting
from .command import labloop
from .dialogs import Compare, Confirm, Wish, Words
from .source import Sent

DIGITS: Final = 6


def _in_part(trial: TrialState) -> bool:
    """Whether some of its outcomes are known, and others are still to come."""
    return trial.state == AWAITING and bool(trial.measured)


class TrialActingScreen(ActingScreen):
    """Asks before anything is written; what lies outside the space is refused by whoever writes it, in words."""

    def may(self, action: str) -> bool:
        """Whether there is a trial now that can be asked for that."""
        match action:
            case "edit":
                return self._editable() is not None
            case "add":
                return self.source.spec is not None
            case "wrong":
                return self._over() is not None
            case "compare":
                spec = self.source.spec
                prefers = spec is not None and any(one.prefers for one in spec.outcomes.values())
                return prefers and len(comparable(self.source.state)) > 1
        return super().may(action)

    def _editable(self) -> int | None:
        """The proposal that is meant: controls and repeats are not for choosing."""
        number = self.proposal(approve=False)
        return number if number is not None and self.source.state.trials[number].role == "candidate" else None

    def _over(self) -> int | None:
        """The trial in hand, when something came of it that may be wrong."""
        number = self.trial_in_hand()
        trial = self.source.state.trials.get(number or 0)
        known = trial is not None and (trial.state in (MEASURED, FAILED) or _in_part(trial))
        return number if known else None

    def action_edit(self) -> None:
        """Other settings in the place of a proposal's."""
        number = self._editable()
        if number is None:
            return
        before = self._pairs(self.source.state.trials[number].settings)

        def done(wish: tuple[str, str] | None) -> None:
            if wish is None:
                return
            line, why = wish
            changed = [one for one in text.named(line) if one not in text.named(before)]
            self.send("edit", str(number), *changed, why=why)

        words = "It has not begun. It is dropped, and another with these settings takes its place."
        self.app.push_screen(Wish(f"Edit trial {number}", words, before, "name=value ..."), done)

    def action_add(self) -> None:
        """A trial of a person's own, beginning with the settings of the one in hand."""
        number = self.trial_in_hand()
        trial = self.source.state.trials.get(number or 0)
        line = self._pairs(trial.settings) if trial is not None else ""

        def done(wish: tuple[str, str] | None) -> None:
            if wish is not None:
                self.send("add", *text.named(wish[0]), why=wish[1])

        words = "Settings inside the space, every parameter one. It runs next, and counts in the budget."
        self.app.push_screen(Wish("Add a trial", words, line, "name=value ..."), done)

    def _pairs(self, settings: Mapping[str, Value]) -> str:
        """In declared units, which need not be written: a line of 80 columns holds more of them so."""
        return text.plain(" ".join(f"{name}={text.number(value, DIGITS)}" for name, value in settings.items()))

    def action_wrong(self) -> None:
        """Mark what came of a trial as wrong, or take that back."""
        number = self._over()
        if number is None:
            return
        trial = self.source.state.trials[number]
        if trial.withdrawn:
            words = "Model, best and front take it for what it was measured as again."
            if "" in trial.withdrawn and len(trial.withdrawn) > 1:
                words += f" Marked as wrong still: {', '.join(filter(None, trial.withdrawn))}."
            self.app.push_screen(
                Confirm(f"Is trial {number} right after all?", words, "right"), self.then("right", str(number))
            )
            return
        came = ", ".join(f"{name} {text.reading(one)}" for name, one in trial.outcomes.items()) or trial.reason
        rest = "The budget counts it as before."
        if _in_part(trial):
            rest = "It may be told again; what a person told is owed again."
        words = f"{text.plain(came)}. The fact stays; nothing learns from it any more. {rest}"
        dialog = Confirm(f"Is what came of trial {number} wrong?", words, "mark as wrong", needs_why=True)
        self.app.push_screen(dialog, self.then("wrong", str(number)))

    # --- comparing ------------------------------------------------------------------------------------------------

    def action_compare(self) -> None:
        """Ask labloop which two are worth comparing, then a person which is better."""
        waiting = Waiting("COMPARE", "Which two are worth comparing is worked out ...")
        self.app.push_screen(waiting)
        self.run_worker(partial(self._ask_which, waiting), thread=True, exclusive=True, group="compare")

    def _ask_which(self, waiting: Waiting) -> None:
        code, words = labloop("compare", str(self.source.folder), "--json")
        pairs = json.loads(words[: words.rindex("}") + 1])["pairs"] if code == 0 else []
        said = words if code else "That takes two trials that are made."
        self.app.call_from_thread(self._compare, waiting, pairs, said)

    def _compare(self, waiting: Waiting, pairs: Sequence[Mapping[str, Any]], said: str) -> None:
        if waiting.left:
            return  # a person went on meanwhile
        waiting.dismiss("")
        if not pairs:
            self.app.push_screen(Words("COMPARE", said))
            return
        both = {number: self._as_made(number) for number in (pairs[0]["trial"], pairs[0]["other"])}
        self.app.push_screen(Compare(both, pairs[0]["worth_it"], begun=waiting.typed), self._preferred)

    def _as_made(self, number: int) -> str:
        trial = self.source.state.trials[number]
        found = ", ".join(f"{name} {text.reading(one)}" for name, one in trial.measured.items())
        return text.plain(self.wished(number) + (f"; {found}" if found else ""))

    def _preferred(self, said: tuple[str, str, str, str] | None) -> None:
        if said is None:
            return
        trial, word, other, why = said
        reason = ["--why", why] if why else []
        command = ("prefer", *reason, "--by", self.source.by, "--", str(self.source.folder), trial, word, other)
        self.by_command(Sent("", f"trial {trial} {word} {other}", (), by_command=True), *command)
