"""``request`` and ``abort``: what the dashboard's keys do, from a shell; with and without a living runner."""

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from . import exits, words
from .options import By, Json, RunName, Why, person, run_folder


def request(
    name: RunName,
    request: Annotated[
        str,
        typer.Argument(
            metavar="REQUEST",
            help="pause, resume, stop, abort, act, approve, veto, edit, add, wrong, right, note, refill, replaced, "
            "empty or resolve.",
            show_default=False,
        ),
    ],
    arguments: Annotated[list[str] | None, typer.Argument(metavar="[ARGUMENTS]")] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="With resume: though another person paused it, or what was moved is right; says --why."
        ),
    ] = False,
    json: Json = False,
    by: By = "",
    why: Why = "",
) -> None:
    """Ask something of a run: pause | resume [--force --why TEXT] | stop | abort |
    act INSTRUMENT.ACTION [NAME=VALUE ...] | approve TRIAL | veto TRIAL |
    edit TRIAL NAME=VALUE ... | add NAME=VALUE ... | wrong TRIAL [OUTCOME ...] --why TEXT |
    right TRIAL [OUTCOME ...] | note TEXT | refill NAME AMOUNT | replaced NAME | empty NAME [AMOUNT] |
    resolve TRIAL[.INSTRUMENT] done [AMOUNT | NAME=VALUE ...]|not-done|discard."""
    from labloop.campaign.errors import SpecError
    from labloop.campaign.models import did_you_mean
    from labloop.campaign.text import in_shell
    from labloop.runner.requests import VERBS

    folder = run_folder(name)
    if request == "amend":
        raise SpecError(f"amend: is a verb of its own: labloop amend {in_shell(folder)} CAMPAIGN.yaml")
    if request not in VERBS:
        raise SpecError(f"{request}: is no request. {did_you_mean(request, VERBS)}")
    ask(folder, request, arguments or [], force=force, json=json, by=by, why=why)


def ask(
    folder: Path, request: str, arguments: list[str], *, force: bool, by: str, why: str, json: bool = False
) -> NoReturn:  # fmt: skip
    """Bring it to the run, and say what came of it. Raises SpecError, Exit."""
    from labloop.campaign.errors import SpecError
    from labloop.campaign.holds import FORCE
    from labloop.runner import wishes

    if force and (request != "resume" or not why):
        raise SpecError(
            "--force ends another person's pause, or says that what was moved is right: write it after resume, with a "
            "reason (--why TEXT)"
        )
    reply = wishes.ask(folder, request, [*arguments, *([FORCE] if force else [])], by=person(by), why=why)
    if json:
        words.give_json(
            {"schema": 1, "run": str(folder), "request": request, "accepted": reply.accepted, "message": reply.message}
        )
    elif reply.accepted is None:
        words.give(f"{request}: posted; {reply.message}")
    else:
        words.give(f"{request}: {'accepted' if reply.accepted else 'refused'}: {words.plain(reply.message)}")
    raise typer.Exit(exits.USAGE if reply.accepted is False else exits.DONE)


def abort(
    name: Annotated[str | None, typer.Argument(metavar="[RUN]", help="Only this run.")] = None,
    by: By = "",
    why: Why = "",
) -> None:
    """Every run of this machine to the safe state, now."""
    from labloop.runner import registry, wishes

    folders = [run_folder(name)] if name else registry.living()
    if not folders:
        words.say("No run lives on this machine.")
    refused = False
    for folder in folders:
        reply = wishes.ask(folder, "abort", [], by=person(by), why=why)
        refused |= reply.accepted is False
        said = {True: "accepted", False: "refused", None: "posted"}[reply.accepted]
        words.give(f"{folder}: abort {said}: {words.plain(reply.message)}")
    raise typer.Exit(exits.USAGE if refused else exits.DONE)
