"""``status``, ``trials`` and ``watch``: readers, safe at any time and beside a living run."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from . import words
from .options import By, Json, RunName, person, run_folder
from .since import moment, told_since

if TYPE_CHECKING:
    from labloop.campaign.state import CampaignState


def status(
    name: RunName,
    verify: Annotated[
        bool, typer.Option("--verify", help="Hold every row, blob and file of the run against its hash first.")
    ] = False,
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="Say also what happened since: 18:00, 2 h, 90 min.")
    ] = "",
    json: Json = False,
) -> None:
    """How a run stands: state, runner, trials, best, questions; with --since what the next shift must know."""
    from dataclasses import asdict
    from datetime import datetime

    from labloop.campaign import text
    from labloop.runner.look import see
    from labloop.runner.look import verify as hold_against_hashes
    from labloop.runner.notes import hold_against

    folder = run_folder(name)
    from_then = moment(since, datetime.now().astimezone()) if since else None
    verified = hold_against_hashes(folder) if verify else None
    seen = see(folder)
    document = seen.status()
    if from_then is not None:
        document["since"] = told_since(folder, seen.spec, from_then)
    if verified:
        document |= {"verified": verified, "noted": asdict(hold_against(folder))}
    if json:
        words.give_json(document)
        return
    mode = "SIMULATED" if document["simulated"] else str(document["mode"]).upper()
    where = [words.plain(document["campaign"]), document["state"], mode]
    if document["runner"] != "gone" or _wants_a_runner(document):
        where.append(f"runner {document['runner']}")
    words.give("  ".join(where))
    if document["reason"]:
        words.give(f"reason: {words.plain(document['reason'])}")
    for hold in document["holds"]:
        words.give(f"held by {words.plain(hold['by'])}: {words.plain(hold['reason'])}")
    for one in document["interlocks"]:
        over = f"its condition is over; steps begin again after labloop request {text.in_shell(folder)} resume"
        words.give(f"held by {words.plain(one['rule'])}: {words.plain(one['reason']) or over}")
    if document["guard"] == "acted":
        safe = "the bench is safe" if document["safe"] else "NOT all of the bench is safe, look at guard.log"
        words.give(f"guard: acted, because the runner was gone or hung; {safe}")
    for one in document["unsafe"]:
        words.give(f"NOT SAFE: {words.plain(one['why'])}")
    counts = ", ".join(f"{count} {state}" for state, count in document["trials"].items() if count)
    words.give(f"trials: {counts or 'none yet'}")
    words.give(f"budget left: {_left(document['budget_left']) or 'no limit'}")
    if document["mode"] != "told":
        words.give(f"elapsed: {_elapsed(document)}")
    _give_best(document["best"])
    if document["outliers"]:
        words.give(words.outliers(document["outliers"]))
    if document["owed"]:
        some = [f"trial {one['trial']} {', '.join(one['outcomes'])}" for one in document["owed"]]
        more = f" and {len(some) - 8} more" if len(some) > 8 else ""
        words.give(f"waits for: {'; '.join(some[:8])}{more}")
    if document["comparisons"]:
        _give_comparisons(document["comparisons"], text.in_shell(folder))
    if document["instruments"]:
        words.give("instruments: " + ", ".join(f"{k} {words.plain(v)}" for k, v in document["instruments"].items()))
    for question in document["questions"]:
        words.give(f"question: {words.plain(question['question'])}")
        for answer, means in question["answers"].items():
            command = f"labloop request {text.in_shell(folder)} resolve {question['target']} {answer}"
            words.give(f"    {command}    # {words.plain(means)}")
    for trial in document["approvals"]:
        words.give(f"waits for approval: labloop request {text.in_shell(folder)} approve {trial}, or veto, or edit")
    for target, told in document["notify"].items():
        if told["why"]:
            words.give(f"notify.{target} was NOT told: {words.plain(told['why'])}")
    for one in document["amendments"][-5:]:
        back = "" if one["in_force"] else " (takes one back)" if one["undoes"] else " (taken back)"
        why = f" ({words.plain(one['why'])})" if one["why"] else ""
        what = words.plain("; ".join(one["changes"]))
        words.give(f"amended {one['at'][:19]} {words.plain(one['by'])}: {what}{why}{back}")
    for note in [] if since else document["notes"][-5:]:
        by = f" {words.plain(note['by'])}" if note["by"] else ""
        words.give(f"note {note['at'][:19]}{by}: {words.plain(note['text'])}")
    if since:
        _give_since(document["since"])
    if verify:
        found = document["verified"]
        words.give(f"verified: {', '.join(f'{count} {what}' for what, count in found.items())} as they were written")
        noted = document["noted"]
        if noted["rows"]:
            later = f"; {noted['later']} came after" if noted["later"] else ""
            bench = words.plain(noted["bench"])
            words.give(f"noted: rows 1 to {noted['rows']}, at {noted['at'][:19]}, in {bench}{later}")
        else:
            words.give(f"NOT noted outside the run: {words.plain(noted['why'])}")


def _wants_a_runner(document: Mapping[str, Any]) -> bool:
    """Whether it is worth a word that nobody runs it: one that has ended, or is told by a person, needs nobody."""
    from labloop.campaign.state import PAUSED, RUNNING

    return document["state"] in (RUNNING, PAUSED) and document["mode"] != "told"


def _left(budget: Mapping[str, Any]) -> str:
    from labloop.campaign import text

    said = {"time_s": lambda value: f"{text.duration(value)} of bench time", "cost": lambda value: f"{value:g} of cost"}
    return ", ".join(
        said[what](value) if what in said else f"{value} {what}" for what, value in budget.items() if value is not None
    )


def _elapsed(document: Mapping[str, Any]) -> str:
    from labloop.campaign import text

    eta_s, speed = document["eta_s"], document["speed"]
    left = "" if eta_s is None else f", about {text.duration(eta_s)} of it left"
    wall = f" ({speed:g} times as fast as the clock on the wall)" if speed != 1 else ""
    return f"{text.duration(document['elapsed_s'])} of bench time{left}{wall}"


def trials(
    name: RunName,
    format: Annotated[
        Literal["table", "csv", "json", "parquet"], typer.Option("--format", help="How to print them.")
    ] = "table",
    json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Every trial of a run."""
    import sys

    from labloop.campaign.errors import SpecError
    from labloop.runner.look import see

    seen = see(run_folder(name))
    if json or format == "json":
        words.give_json(seen.trials())
        return
    if format == "table":
        _give_trials(seen.spec, seen.trials()["trials"])
        _say_amendments(seen.state)
        return
    from labloop.study import export

    frame = export.trials_frame(seen.spec, seen.state)
    if format == "csv":
        words.give_csv(export.to_csv(frame))
        _say_amendments(seen.state)
        return
    if sys.stdout.isatty():
        raise SpecError("--format parquet writes bytes. Send them into a file: ... --format parquet > trials.parquet")
    sys.stdout.buffer.write(export.to_parquet(frame))
    _say_amendments(seen.state)


def _say_amendments(state: "CampaignState") -> None:
    from labloop.campaign.amending import account

    for one in state.amendments:
        after = max((number for number, trial in state.trials.items() if trial.seq < one.seq), default=0)
        words.say(f"fact {one.seq}, after trial {after}: {words.plain(account(one.fact))}")


def watch(
    name: Annotated[
        str | None, typer.Argument(metavar="RUN", help="A run's folder; without: the list of all.")
    ] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Look, and ask nothing of the run.")] = False,
    web: Annotated[bool, typer.Option("--web", help="In a browser on this machine, until Ctrl-C.")] = False,
    port: Annotated[
        int | None, typer.Option("--port", metavar="N", min=0, max=65535, help="Of --web (default: 8000; 0: any free).")
    ] = None,
    by: By = "",
) -> None:
    """The dashboard, on one run or the list of all; quitting it changes nothing in a run."""
    from labloop.campaign.errors import SpecError

    folder: Path | None = run_folder(name) if name else None
    if port is not None and not web:
        raise SpecError("--port is of --web. Add --web, or leave --port away")
    if web:
        _serve(folder, 8000 if port is None else port, read_only, person(by))
        return
    if not words.has_terminal():
        raise SpecError("watch needs a terminal, for stderr too. `labloop status RUN` prints how a run stands")
    from labloop.dashboard.app import watch as open_dashboard

    raise typer.Exit(open_dashboard(folder, read_only, person(by)))


def _serve(folder: Path | None, port: int, read_only: bool, by: str) -> None:
    from importlib.util import find_spec

    from labloop.campaign.errors import SpecError

    if find_spec("textual_serve") is None:
        raise SpecError("--web needs textual-serve. Install it: pip install 'labloop[web]'")
    from labloop.dashboard.keymap import read_keys
    from labloop.dashboard.web import door_to

    read_keys()  # refused here, and not on a page that stays empty
    door = door_to(folder, port, read_only, by)
    words.give(door.address)
    words.say(
        f"The dashboard is there until Ctrl-C, for this machine alone{'; it only looks' if read_only else ''}. From "
        f"another one: ssh -L {door.port}:127.0.0.1:{door.port} THIS-MACHINE, and the same address there."
    )
    door.serve()


def _give_best(best: Any) -> None:
    from labloop.campaign.view import BREAKS

    if not best:
        words.give("best: nothing is measured yet")
        return
    for one in best if isinstance(best, list) else [best]:
        values = ", ".join(f"{name} = {words.quantity(entry)}" for name, entry in one["outcomes"].items())
        lacks = "" if one["keeps_limits"] else f"; {BREAKS}"
        lacks += "" if one["in_space"] else "; outside the space as it was amended"
        values += f"; desirability {_desired(one['desirability'])}" if one["desirability"] else ""
        words.give(f"best: trial {one['trial']}: {values}  ({words.pairs(one['settings'])}){lacks}")


def _desired(one: dict[str, Any]) -> str:
    each = ", ".join(f"{name} {share:.2f}" for name, share in one["each"].items())
    return f"{one['overall']:.3f} ({each})"


def _give_since(told: dict[str, Any]) -> None:
    from labloop.campaign import text

    counts = ", ".join(f"{count} {state}" for state, count in told["trials"].items())
    same = "the best is what it was" if told["best_then"] == told["best_now"] else "another is best"
    words.give(
        f"since {told['from'][:16].replace('T', ' ')}: {f'trials {counts}' if counts else 'no trial ended'}; {same}"
    )
    for fact in told["facts"]:
        words.give(f"    {fact['at'][:10]} {text.clock(fact['at'])} {words.plain(fact['text'])}")
    if not told["facts"]:
        words.give("    nothing else happened that is worth a line")


def _give_comparisons(comparisons: dict[str, Any], run: str) -> None:
    count, waiting = comparisons["made"], comparisons["open"]
    more = f"; not compared yet: trial {', '.join(map(str, waiting[:8]))}" if waiting else ""
    more += f" and {len(waiting) - 8} more" if len(waiting) > 8 else ""
    words.give(f"compared: {count} time{'' if count == 1 else 's'}{more}; which two next: labloop compare {run}")


def _give_trials(spec: Any, entries: list[dict[str, Any]]) -> None:
    names = list(dict.fromkeys(name for entry in entries for name in entry["settings"]))
    outcomes = list(spec.outcomes)
    desired = any(one.desirability is not None for one in spec.outcomes.values())
    rows = [
        [
            entry["trial"],
            entry["state"] if entry["role"] == "candidate" else f"{entry['state']} ({entry['role']})",
            entry["source"],
            *(words.quantity(entry["outcomes"][name]) if name in entry["outcomes"] else "" for name in outcomes),
            *([f"{entry['desirability']['overall']:.3f}" if entry["desirability"] else ""] if desired else []),
            *(words.number(entry["settings"].get(name, "")) for name in names),
            entry["reason"] or (f"waits for {', '.join(entry['owed'])}" if entry["owed"] else ""),
        ]
        for entry in entries
    ]
    units = [getattr(spec.parameters.get(name), "unit", "") for name in names]
    headed = [f"{name} [{unit}]" if unit else name for name, unit in zip(names, units, strict=True)]
    words.give_table(["trial", "state", "source", *outcomes, *["desirability"] * desired, *headed, "reason"], rows)
