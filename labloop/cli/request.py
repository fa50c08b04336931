"""``request`` and ``abort``: what the dashboard's keys do, from a shell; with and without a living runner."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from . import exits, words
from .options import By, Json, RunName, Why, person, run_folder

if TYPE_CHECKING:
    from labloop.runner.wishes import Reply


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
    arguments: Annotated[list[str] | None, typer.Argument(metavar="...", help="What that needs, as above.")] = None,
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

    folder = run_folder(name)
    if request == "abort":  # nothing that takes its time to be read comes before it
        ask(folder, request, arguments or [], force=force, json=json, by=by, why=why)
    from labloop.campaign.models import did_you_mean
    from labloop.campaign.text import in_shell
    from labloop.runner.requests import VERBS

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

    if force and (request != "resume" or not why):
        raise SpecError(
            "--force ends another person's pause, or says that what was moved is right: write it after resume, with a "
            "reason (--why TEXT)"
        )
    if request == "abort":
        with _unbroken():
            reply = _abort(folder, by, why)
    else:
        from labloop.campaign.holds import FORCE
        from labloop.runner import wishes

        reply = wishes.ask(folder, request, [*arguments, *([FORCE] if force else [])], by=person(by), why=why)
    if json:
        said = {"schema": 1, "run": str(folder), "request": request, "accepted": reply.accepted}
        safe = {"safe": reply.safe} if request == "abort" else {}
        words.give_json({**said, "message": reply.message, **safe})
    elif reply.accepted is False and reply.safe is False:
        words.say(f"{request} {words.plain(reply.message)}")
    elif reply.accepted is None:
        words.give(f"{request}: posted; {words.plain(reply.message)}")
    else:
        words.give(f"{request}: {'accepted' if reply.accepted else 'refused'}: {words.plain(reply.message)}")
    raise typer.Exit(_code(reply, request))


def abort(
    name: Annotated[
        str | None, typer.Argument(metavar="RUN", help="Only this run; without: every run of this machine.")
    ] = None,
    by: By = "",
    why: Why = "",
) -> None:
    """The safe state, now: of one run, or without RUN of every run of this machine. What no runner answers for is made
    safe from here. Exit code 3: of a bench nobody knows that it is safe."""
    from concurrent.futures import ThreadPoolExecutor, as_completed

    from labloop.runner import registry

    folders = [_to_abort(name)] if name is not None else [*registry.living(), *registry.left()]
    if not folders:
        words.say(
            "No run lives on this machine, and none has left its bench. What is done by hand, or through `labloop "
            "serve`, is no run: nothing was stopped there. Ctrl-C where it was begun makes that bench safe."
        )
        raise typer.Exit
    codes = set()
    with _unbroken(), ThreadPoolExecutor(len(folders)) as at_once:  # nobody waits for one that does not answer
        asked = {at_once.submit(_abort, one, by, why): one for one in folders}
        for done in as_completed(asked):
            reply = done.result()
            codes.add(_code(reply, "abort"))
            if reply.accepted is False and reply.safe is False:
                words.say(f"{asked[done]}: abort {words.plain(reply.message)}")
                continue
            said = {True: "accepted", False: "refused", None: "posted"}[reply.accepted]
            words.give(f"{asked[done]}: abort {said}: {words.plain(reply.message)}")
    raise typer.Exit(max(codes))


def _abort(folder: Path, by: str, why: str) -> "Reply":
    """What came of it; one that fails, by whatever it is, must be told as well, and hides no other bench."""
    from labloop.campaign.errors import LabloopError
    from labloop.runner import abort_first

    id = abort_first.post(folder, person(by), why)
    from labloop.runner import wishes  # takes half a second

    try:
        return wishes.ask(folder, "abort", [], by=person(by), why=why, id=id)
    except Exception as error:  # noqa: BLE001
        said = str(error) if isinstance(error, LabloopError) else repr(error)
        return wishes.Reply(accepted=False, message=f"FAILED, go to the bench: {said}", safe=False)


def _to_abort(name: str) -> Path:
    """A run's folder; one that has lost its journal may have left a bench that is hot."""
    from labloop.campaign.errors import SpecError
    from labloop.journal.presence import LOCK

    if not name:
        raise SpecError("the name of the run is empty. Name it, or leave it out: then every run of this machine ends")
    return next((one for one in (Path(name), Path("runs") / name) if (one / LOCK).is_file()), None) or run_folder(name)


@contextmanager
def _unbroken() -> Iterator[None]:
    """An abort that has begun is not ended by the end of its terminal, nor by whoever ends all that runs."""
    names = [name for name in ("SIGHUP", "SIGTERM") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), signal.SIG_IGN) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


def _code(reply: "Reply", request: str) -> int:
    if reply.safe is False:
        return exits.BENCH
    if reply.accepted is False:
        return exits.USAGE
    return exits.BENCH if request == "abort" and not reply.safe else exits.DONE
