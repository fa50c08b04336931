"""``run`` and ``resume``: a campaign to its end, in this terminal, under the dashboard, or without either."""

import gc
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import words
from .options import By, Campaign, Lab, RunName, Why, person, run_folder

if TYPE_CHECKING:
    from labloop.runner.session import Order

    from .lines import LineView

Trials = Annotated[int | None, typer.Option("--trials", metavar="N", help="The budget of trials.")]
Detach = Annotated[bool, typer.Option("--detach", help="Leave the run without a terminal; print its pid and folder.")]
Dashboard = Annotated[
    bool | None,
    typer.Option("--dashboard/--no-dashboard", help="The dashboard (default: with a terminal)."),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="A line for each step as well.")]
# A start that was handed on to a process of its own was said when it was said here.
Seen = Annotated[int, typer.Option("--seen", hidden=True)]
JsonLines = Annotated[bool, typer.Option("--json", help="One JSON line per event on stdout.")]


def run(
    campaign: Campaign,
    folder: Annotated[
        Path | None, typer.Option("--run", metavar="DIR", help="The run's folder (default: runs/<campaign>-<n>).")
    ] = None,
    lab: Lab = None,
    live: Annotated[bool, typer.Option("--live", help="Real instruments; asks before it begins.")] = False,
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", help="Instead of the campaign's seed.")] = None,
    trials: Trials = None,
    speed: Annotated[
        float | None, typer.Option("--speed", metavar="X", help="Simulators and clocks so many times faster.")
    ] = None,
    virtual: Annotated[bool, typer.Option("--virtual", help="In process on a virtual clock; reproducible.")] = False,
    faults: Annotated[
        str | None, typer.Option("--faults", metavar="SPEC", help="Faults that the simulators shall have.")
    ] = None,
    detach: Detach = False,
    dashboard: Dashboard = None,
    yes: Annotated[bool, typer.Option("--yes", help="No question before a live run (for scripts).")] = False,
    json: JsonLines = False,
    verbose: Verbose = False,
    by: By = "",
    why: Why = "",
    seen: Seen = 0,
) -> None:
    """Run a campaign to the end of its budget; simulated unless --live."""
    seen = seen or _rows(folder)
    from labloop.campaign.errors import SpecError
    from labloop.runner.benches import refuse_bad_faults
    from labloop.runner.session import Order, begin
    from labloop.runner.session import run_folder as folder_for

    for name, given in (("--trials", trials), ("--speed", speed)):
        if given is not None and not given > 0:
            raise SpecError(f"{name} {given}: must be above 0")
    if detach and json:
        raise SpecError("--detach and --json exclude each other: a run without a terminal prints nothing")
    refuse_bad_faults(faults)
    order = Order(
        campaign=campaign, run=folder, lab=lab, live=live, seed=seed, trials=trials, speed=speed, virtual=virtual,
        faults=faults,
    )  # fmt: skip
    order = replace(order, run=folder_for(order))
    assert order.run is not None
    if live:
        _confirm(order, yes)
    arguments = [*_again(order, by, why), "--seen", str(seen)]
    if detach:
        _detach(order.run, arguments)
    if _wants_dashboard(dashboard, json or virtual):
        _under_dashboard(order.run, arguments, verbose, by)
    view = _view(order.run, campaign, json, verbose, by, why)
    _imported()
    raise typer.Exit(view.end(begin(order, view, by=person(by), seen=seen)))


def resume(
    name: RunName,
    trials: Annotated[
        int | None, typer.Option("--trials", metavar="+N", help="So many trials more than the budget had.")
    ] = None,
    new_code: Annotated[
        bool, typer.Option("--new-code", help="Accept that the drivers' code was changed since the run began.")
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Though another person paused it, or what was moved is right; says --why."),
    ] = False,
    as_it_is: Annotated[
        bool,
        typer.Option("--as-it-is", help="A sample may go on, though others did something there; says --why."),
    ] = False,
    detach: Detach = False,
    dashboard: Dashboard = None,
    json: JsonLines = False,
    verbose: Verbose = False,
    by: By = "",
    why: Why = "",
    seen: Seen = 0,
) -> None:
    """Go on with a run after any stop, end of budget, crash or halt; one that is only paused is told so."""
    folder = run_folder(name)
    seen = seen or _rows(folder)  # first: what others say from now on is said after it
    from labloop.campaign.errors import SpecError
    from labloop.runner import session

    if trials is not None and trials < 1:
        raise SpecError(f"--trials {trials}: must add at least one trial, as in --trials +20")
    if trials is None and not new_code and not as_it_is and _is_paused(folder):
        from .request import ask

        ask(folder, "resume", [], force=force, by=by, why=why)
    arguments = ["resume", str(folder), "--by", person(by), "--why", why, "--seen", str(seen)]
    if trials is not None:
        arguments += ["--trials", str(trials)]
    if (force or as_it_is) and not why:
        raise SpecError("--force and --as-it-is need a reason: --why TEXT")
    arguments += ["--new-code"] * new_code + ["--force"] * force + ["--as-it-is"] * as_it_is
    if detach:
        _detach(folder, arguments)
    if _wants_dashboard(dashboard, json):
        _under_dashboard(folder, arguments, verbose, by)
    view = _view(folder, None, json, verbose, "", "")
    _imported()
    code = session.resume(
        folder, trials, view, by=person(by), why=why, new_code=new_code, force=force, as_it_is=as_it_is, seen=seen
    )  # fmt: skip
    raise typer.Exit(view.end(code))


def _rows(folder: Path | None) -> int:
    """How far a run's journal has come; 0: it is not there, or whoever opens it is told what is wrong."""
    from labloop.journal import Reader, StoreError

    try:
        if folder is not None and (folder / "journal.db").is_file():
            with Reader(folder / "journal.db") as reader:
                return reader.last_seq
    except StoreError:
        pass
    return 0


def _imported() -> None:
    """What is there now is there to the end: no look for garbage goes through it, which would hold a run up for long.

    One look through all that imports make takes 60 ms, in which no stop is heard.
    """
    gc.freeze()
    gc.set_threshold(100_000)


def _is_paused(folder: Path) -> bool:
    """Whether its runner lives and waits for this word, in its own terminal or without one."""
    from labloop.campaign.state import PAUSED
    from labloop.journal import look
    from labloop.runner.look import see

    return look(folder) == "alive" and see(folder).state.state == PAUSED


def _confirm(order: "Order", yes: bool) -> None:
    """Ask before real instruments move. Raises SpecError when nobody can answer, or answers otherwise."""
    from labloop.campaign.errors import SpecError
    from labloop.campaign.spec import read_spec

    if yes:
        return
    spec = read_spec(order.campaign)
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise SpecError(
            f"--live moves real instruments with {order.campaign}, and there is no terminal to ask on. "
            "Add --yes if that is meant."
        )
    words.say(f"LIVE: {spec.campaign} will move the real instruments of {order.lab or spec.lab}.")
    typed = typer.prompt("Type the campaign's name to begin", err=True, default="", show_default=False)
    if typed.strip() != spec.campaign:
        raise SpecError(f"{typed.strip()!r} is not {spec.campaign!r}: nothing was begun")


def _again(order: "Order", by: str, why: str) -> list[str]:
    """The same order as a command line, for a process of its own; it was confirmed here."""
    arguments = ["run", str(order.campaign), "--run", str(order.run), "--yes"]
    if by or why:
        arguments += ["--by", person(by), "--why", why]
    options = {
        "--lab": order.lab, "--seed": order.seed, "--trials": order.trials, "--speed": order.speed,
        "--faults": order.faults,
    }  # fmt: skip
    for option, value in options.items():
        if value is not None:
            arguments += [option, str(value)]
    return arguments + ["--live"] * order.live + ["--virtual"] * order.virtual


def _wants_dashboard(asked: bool | None, unwatchable: bool) -> bool:
    from labloop.campaign.errors import SpecError

    terminal = words.has_terminal()
    if asked and not terminal:
        raise SpecError("--dashboard needs a terminal, for stderr too. Leave it out, and see `labloop status RUN`")
    return terminal and not unwatchable if asked is None else asked


def _detach(folder: Path, arguments: list[str]) -> None:
    from labloop.campaign.text import in_shell

    from . import follow

    child = follow.start(folder, arguments)
    words.give(f"{child.pid} {folder}")
    name = in_shell(folder)
    words.say(f"It runs without a terminal. `labloop watch {name}` shows it, `labloop request {name} stop` ends it.")
    raise typer.Exit


def _under_dashboard(folder: Path, arguments: list[str], verbose: bool, by: str) -> None:
    from . import follow

    raise typer.Exit(follow.under_dashboard(folder, arguments, verbose, person(by)))


def _view(folder: Path, campaign: Path | None, json: bool, verbose: bool, by: str, why: str) -> "LineView":
    from .lines import LineView

    return LineView(folder, campaign, json=json, verbose=verbose, by=by, why=why, runs=True)
