"""A campaign amended from the dashboard: a changed copy of it is named, what that would do is shown, and then asked.

labloop's own command line looks at it (see cli.amend): checking a campaign takes a second, and not in the thread that
draws.
"""

import json
from typing import Final

from labloop.campaign import text

from .command import labloop
from .dialogs import Confirm, Line
from .source import Sent
from .trial_acts import TrialActingScreen

MOST_LINES: Final = 12  # of what it would do, on a screen of 24
TITLE: Final = "AMEND"


class AmendingScreen(TrialActingScreen):
    """Amends the campaign, and takes that back; nothing is changed before it was shown."""

    def may(self, action: str) -> bool:
        """Whether there is a campaign to be amended, or an amendment to be taken back."""
        if action == "unamend":
            return bool(self.source.state.amended)
        return self.source.spec is not None if action == "amend" else super().may(action)

    def action_amend(self) -> None:
        """Ask for the changed copy, then show what it would do."""
        run = text.in_shell(self.source.folder)
        words = f"The path of a changed copy of the campaign. To make one: labloop amend {run} --show > changed.yaml"
        self.app.push_screen(Line("Amend the campaign", text.plain(words), "changed.yaml"), self._look_at)

    def action_unamend(self) -> None:
        """Show what taking the last amendment back would do."""
        self._look_at("--undo")

    def _look_at(self, file: str | None) -> None:
        if file is None:
            return
        self.notify("What that would do is worked out ...", title=TITLE, markup=False)
        self.run_worker(lambda: self._ask_what(file), thread=True, exclusive=True, group="amend")

    def _ask_what(self, file: str) -> None:
        code, words = labloop("amend", "--preview", "--json", *self._named(file))
        if code == 0:
            self.app.call_from_thread(self._show, file, json.loads(words[: words.rindex("}") + 1]))
        else:
            self.app.call_from_thread(
                self.notify, text.plain(words), title=f"{TITLE}: nothing was changed", severity="error", timeout=30.0,
                markup=False,
            )  # fmt: skip

    def _show(self, file: str, document: dict[str, list[dict[str, str]] | list[str]]) -> None:
        if not self.is_looked_at:
            return  # a person went on meanwhile
        self.app.clear_notifications()
        lines = [one["words"] if isinstance(one, dict) else one for one in (*document["changes"], *document["words"])]
        more = len(lines) - MOST_LINES
        shown = [text.plain(one) for one in lines[:MOST_LINES]] + ([f"... and {more} more"] if more > 0 else [])
        title = "Take the last amendment back?" if file == "--undo" else "Amend the campaign so?"

        def done(why: str | None) -> None:
            if why is not None:
                reason = ["--why", why] if why else []
                command = ("amend", "--yes", *reason, "--by", self.source.by, *self._named(file))
                self.by_command(Sent("", "amend", (file,), by_command=True), *command)

        self.app.push_screen(Confirm(title, "\n".join(shown), "amend"), done)

    def _named(self, file: str) -> tuple[str, ...]:
        """The run and the file, as the command line takes them."""
        folder = str(self.source.folder)
        return ("--undo", "--", folder) if file == "--undo" else ("--", folder, file)
