"""A campaign amended from the dashboard: one place of it is typed anew, or a changed copy of all of it is named; what
that would do is shown, and then asked.

labloop's own command line looks at it (see cli.amend): checking a campaign takes a second, and not in the thread that
draws.
"""

import json
from functools import partial
from typing import Final

from labloop.campaign import text

from .amendable import Place, places
from .asking import Waiting
from .command import labloop
from .dialogs import Confirm, Line, Pick, Words
from .source import Sent
from .trial_acts import TrialActingScreen

MOST_LINES: Final = 12  # of what it would do, on a screen of 24
TITLE: Final = "AMEND"
LOOK: Final = "see what that would do"
UNDO: Final = ("--undo",)
COPY: Final = ("anything else", "name a changed copy")


class AmendingScreen(TrialActingScreen):
    """Amends the campaign, and takes that back; nothing is changed before it was shown."""

    def may(self, action: str) -> bool:
        """Whether there is a campaign to be amended, or an amendment to be taken back."""
        if action == "unamend":
            return bool(self.source.state.amended)
        return self.source.spec is not None if action == "amend" else super().may(action)

    def action_amend(self) -> None:
        """Ask what is to be another, then for its value, then show what that would do."""
        assert self.source.spec is not None  # see may
        found = places(self.source.spec)
        things = [(text.plain(one.place), text.plain(one.now) or "-") for one in found]

        def done(number: int | None) -> None:
            if number is not None:
                self._ask_for(found[number] if number < len(found) else None)

        self.app.push_screen(Pick("What of the campaign is to be another?", [*things, COPY]), done)

    def _ask_for(self, place: Place | None) -> None:
        if place is None:
            run = text.in_shell(self.source.folder)
            words = f"The path of a changed copy of the campaign. To make one: labloop amend {run} --show > new.yaml"
            self.app.push_screen(Line("Amend the campaign", text.plain(words), "new.yaml", yes=LOOK), self._named)
            return

        def done(value: str | None) -> None:
            if value is not None and value != place.now:
                self._look_at("--set", f"{place.place}={value}")

        dialog = Line(
            text.plain(place.place), text.plain(place.how), "nothing is written there now", begun=text.plain(place.now),
            may_be_empty=bool(place.now), yes=LOOK,
        )  # fmt: skip
        self.app.push_screen(dialog, done)

    def action_unamend(self) -> None:
        """Show what taking the last amendment back would do."""
        self._look_at(*UNDO)

    def _named(self, file: str | None) -> None:
        if file is not None:
            self._look_at(file)

    def _look_at(self, *what: str) -> None:
        waiting = Waiting(TITLE, "What that would do is worked out ...")
        self.app.push_screen(waiting)
        self.run_worker(partial(self._ask_what, what, waiting), thread=True, exclusive=True, group="amend")

    def _ask_what(self, what: tuple[str, ...], waiting: Waiting) -> None:
        code, words = labloop("amend", "--preview", "--json", *self._of_run(what))
        if code == 0:
            self.app.call_from_thread(self._show, what, waiting, json.loads(words[: words.rindex("}") + 1]))
        else:
            self.app.call_from_thread(self._refused, waiting, words)

    def _refused(self, waiting: Waiting, words: str) -> None:
        if not waiting.left:
            waiting.dismiss("")
            self.app.push_screen(Words(f"{TITLE}: nothing was changed", words))

    def _show(
        self, what: tuple[str, ...], waiting: Waiting, document: dict[str, list[dict[str, str]] | list[str]]
    ) -> None:
        if waiting.left:
            return  # a person went on meanwhile
        waiting.dismiss("")
        lines = [one["words"] if isinstance(one, dict) else one for one in (*document["changes"], *document["words"])]
        more = len(lines) - MOST_LINES
        shown = [text.plain(one) for one in lines[:MOST_LINES]] + ([f"... and {more} more"] if more > 0 else [])
        title = "Take the last amendment back?" if what == UNDO else "Amend the campaign so?"

        def done(why: str | None) -> None:
            if why is not None:
                reason = ["--why", why] if why else []
                command = ("amend", "--yes", *reason, "--by", self.source.by, *self._of_run(what))
                self.by_command(Sent("", "amend", what, by_command=True), *command)

        self.app.push_screen(Confirm(title, "\n".join(shown), "amend", begun=waiting.typed), done)

    def _of_run(self, what: tuple[str, ...]) -> tuple[str, ...]:
        """The run and what is to be another, as the command line takes them."""
        folder = str(self.source.folder)
        return (*what, "--", folder) if what[0].startswith("--") else ("--", folder, *what)
