"""``amend``: change a campaign in mid-run, looked at first, and take that back."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import exits, words
from .options import By, Json, RunName, Why, person, run_folder

if TYPE_CHECKING:
    from labloop.runner.preview import Preview


def amend(
    name: RunName,
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="The campaign as it is to be, whole.", show_default=False)
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PLACE=VALUE", help="Instead of FILE: one place, like budget.trials=60."),
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take the last amendment back.")] = False,
    show: Annotated[
        bool, typer.Option("--show", help="Print the campaign as it is now, to change a copy of it.")
    ] = False,
    preview: Annotated[bool, typer.Option("--preview", help="Say what it would do, and do nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="No question first (for scripts).")] = False,
    json: Json = False,
    by: By = "",
    why: Why = "",
) -> None:
    """Change a campaign in mid-run: widen or narrow a range, add or retire a choice, change a goal, a weight, a limit,
    a constraint, the budget, when to stop.

    `labloop amend RUN --show > changed.yaml`, change that, `labloop amend RUN changed.yaml`: it shows what is another
    and what that does to the trials so far, asks, and writes it into the journal. Trials under way are not changed, and
    data so far stay in use. One place alone: `labloop amend RUN --set parameters.q_tot.range="300 to 700 uL/min"` (more
    than once: several at once). A recipe, the bench, parameters and outcomes themselves may not be amended.
    """
    from labloop.campaign.errors import SpecError
    from labloop.runner import preview as looking
    from labloop.runner import wishes
    from labloop.runner.amending import AMEND

    typed = set_ or []
    if (file is not None) + bool(typed) + undo + show != 1:
        raise SpecError("amend RUN FILE, RUN --set PLACE=VALUE, RUN --undo, or RUN --show: one of the four")
    folder = run_folder(name)
    if show:
        words.give(looking.text_now(folder).rstrip("\n"))
        return
    if file is not None:
        seen = looking.look_at(folder, file)
    else:
        seen = looking.look_at_places(folder, typed) if typed else looking.look_at_undo(folder)
    document = {"schema": 1, "run": str(folder), **seen.document(), "accepted": None, "message": ""}
    if not yes and not (json and preview):  # else the answer names what was changed
        _give(seen, words.say if json else words.give)  # the document has stdout for itself
    if preview:
        if json:
            words.give_json(document)
        return
    _confirm(yes)
    reply = wishes.ask(folder, AMEND, seen.wish(), by=person(by), why=why)
    if json:
        words.give_json(document | {"accepted": reply.accepted, "message": reply.message})
    elif reply.accepted is None:
        words.give(f"posted; {words.plain(reply.message)}")
    else:
        words.give(f"{'accepted' if reply.accepted else 'refused'}: {words.plain(reply.message)}")
    raise typer.Exit(exits.USAGE if reply.accepted is False else exits.DONE)


def _give(seen: "Preview", tell: Callable[[str], None]) -> None:
    from labloop.campaign.amending import sentence

    if seen.undoes:
        last = seen.state.amended[-1]
        reason = f": {words.plain(last.fact.why)}" if last.fact.why else ""
        tell(f"takes back what {words.plain(last.fact.by)} amended at {last.at[:19]}{reason}")
    for change in seen.changes:
        tell(words.plain(sentence(change)))
    for line in seen.words():
        tell(f"    {words.plain(line)}")


def _confirm(yes: bool) -> None:
    """Ask before the campaign changes. Raises SpecError when nobody can answer, or says no."""
    from labloop.campaign.errors import SpecError

    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise SpecError("there is no terminal to ask on, and nothing was changed. Add --yes if that is meant")
    if not typer.confirm("Amend the run so?", err=True, default=False):
        raise SpecError("nothing was changed")
