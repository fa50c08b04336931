"""``ask`` and ``tell``: the same engine for a lab whose hands are human."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from . import words
from .options import By, Campaign, Json, RunName, Why, person, run_folder


def ask(
    campaign: Campaign,
    folder: Annotated[Path, typer.Option("--run", metavar="DIR", help="The folder that keeps the campaign's facts.")],
    count: Annotated[int, typer.Option("-n", metavar="N", help="How many proposals (1 to 1000).")] = 1,
    json: Json = False,
    by: By = "",
    why: Why = "",
) -> None:
    """Propose what to try next, and write it down."""
    from labloop.campaign import events as e
    from labloop.campaign.spec import read_spec
    from labloop.campaign.text import in_shell
    from labloop.runner.told import Told

    with Told.begin(read_spec(campaign), folder) as told:
        if why:
            told.memory.record(e.NoteTaken(text=why, by=person(by)))
        first = told.state.next_trial()
        try:
            proposals = told.ask(count, heard=_progress(count))
        except KeyboardInterrupt:
            if made := told.state.next_trial() - first:
                words.say(f"{made} proposals from trial {first} on are written down: labloop trials {in_shell(folder)}")
            raise
        units = {name: getattr(one, "unit", "") for name, one in told.spec.parameters.items()}
        enough = told.enough()
    if json:
        entries = [_entry(one) for one in proposals]
        words.give_json({"schema": 1, "run": str(folder), "proposals": entries, "enough": enough})
        return
    rows = [
        [one.trial, *(words.number(value) for value in one.settings.values()), one.source, _hoped(one)]
        for one in proposals
    ]
    names = [f"{name} [{units[name]}]" if units.get(name) else name for name in proposals[0].settings]
    words.give_table(["trial", *names, "source", "expected"], rows)
    if enough:
        words.say(f"A run of this campaign would end here: {enough}")
    for line in _next(told, in_shell(folder), proposals[0].trial):
        words.say(line)


def _progress(count: int) -> Any:
    """Tells a terminal how many of many proposals there are; None: nobody waits that long, or watches."""
    if count <= 10 or not is_watched():
        return None
    return lambda done: words.say(f"{done} of {count} proposed") if done < count else None


def is_watched() -> bool:
    """Whether somebody sees what is said."""
    return sys.stderr.isatty()


def tell(
    name: RunName,
    trial: Annotated[int | None, typer.Argument(metavar="TRIAL", help="The trial's number.")] = None,
    outcomes: Annotated[
        list[str] | None, typer.Argument(metavar="name=value ...", help="Outcomes that are known, like y=12.34(5).")
    ] = None,
    failed: Annotated[str, typer.Option("--failed", metavar="WHY", help="Chemistry's failure: it teaches.")] = "",
    void: Annotated[str, typer.Option("--void", metavar="WHY", help="The bench's fault: it does not.")] = "",
    table: Annotated[
        Path | None, typer.Option("--table", metavar="T.csv", help="A table of settings and outcomes, or of trials.")
    ] = None,
    json: Json = False,
    by: By = "",
    why: Why = "",
) -> None:
    """Tell what came of a trial, all of it or a part (tell the rest when it is there), or old data from a table."""
    from labloop.campaign import events as e
    from labloop.campaign.errors import SpecError, StateError
    from labloop.journal import look
    from labloop.runner import wishes
    from labloop.runner.look import see
    from labloop.runner.told import Told

    if (trial is None) == (table is None):
        raise SpecError("tell a TRIAL with its outcomes, or --table T.csv: one of the two")
    if table is not None and (outcomes or failed or void):
        raise SpecError("--table brings its own outcomes. Leave the others out")
    who = person(by)
    folder = run_folder(name)
    if trial is not None and look(folder) != "gone":  # its runner writes the journal: the result goes to its inbox
        reply = wishes.tell(folder, trial, read_outcomes(outcomes or []), failed=failed, void=void, by=who, why=why)
        if reply.accepted is False:
            raise StateError(reply.message)
        if reply.accepted is None:
            words.say(f"posted; {reply.message}")
        seen = see(folder)
        entries = [_told(seen.spec, seen.state, trial)]
    else:
        with Told.take_up(folder) as told:
            if why:
                told.memory.record(e.NoteTaken(text=why, by=who))
            if table is not None:
                numbers = tell_table(told, table, who)
            else:
                assert trial is not None
                told.tell(trial, read_outcomes(outcomes or []), failed=failed, void=void, by=who)
                numbers = [trial]
            entries = [_told(told.spec, told.state, number) for number in numbers]
    if json:
        words.give_json({"schema": 1, "run": name, "told": entries})
    else:
        for entry in entries[:20]:
            values = ", ".join(f"{key} = {words.quantity(one)}" for key, one in entry["outcomes"].items())
            waits = f"; waits for {', '.join(entry['owed'])}" if entry["owed"] else ""
            said = f"{values or words.plain(entry['reason'])}{waits}"
            words.give(f"trial {entry['trial']}: {entry['state']}  {said}".rstrip())
        if len(entries) > 20:
            words.give(f"... and {len(entries) - 20} more")


def read_outcomes(written: list[str]) -> dict[str, str]:
    """``name=value`` as outcomes. Raises SpecError."""
    from labloop.campaign.errors import SpecError

    outcomes: dict[str, str] = {}
    for one in written:
        name, equals, value = one.partition("=")
        name = name.strip()
        if not equals or not name or not value.strip():
            raise SpecError(f"{one!r}: write outcomes as name=value, like spectrum_loss=0.41")
        if name in outcomes:
            raise SpecError(f"{name} is told twice. Tell it once; its spread is written 12.34(5)")
        outcomes[name] = value.strip()
    return outcomes


def tell_table(told: Any, path: Path, by: str) -> list[int]:
    """Tell every row of a table: of ``trial`` and outcomes, or of settings and outcomes. Raises SpecError."""
    from labloop.campaign.errors import SpecError
    from labloop.campaign.grammar import flat_parameters
    from labloop.campaign.models import did_you_mean
    from labloop.campaign.tables import LONGEST_TOLD, read_table

    if not path.is_file():
        raise SpecError(f"--table {path}: there is no such file")
    rows = read_table(path, LONGEST_TOLD)
    parameters, outcomes = flat_parameters(told.spec.parameters), told.spec.outcomes
    by_trial = "trial" in rows[0] and "trial" not in parameters and "trial" not in outcomes
    known = [*outcomes, "trial"] if by_trial else [*parameters, *outcomes]
    unknown = [name for name in rows[0] if name not in (*parameters, *known)]
    if unknown:
        raise SpecError(
            *(f"{path}:1: {name} is no column of this campaign. {did_you_mean(name, known)}" for name in unknown)
        )
    measured = [{name: value for name, value in row.items() if name in outcomes and value != ""} for row in rows]
    if not by_trial:
        try:
            settings = [{name: value for name, value in row.items() if name in parameters} for row in rows]
            return list(told.tell_settings(settings, measured, by=by))
        except SpecError as error:
            raise SpecError(*(f"{path}: {complaint}" for complaint in error.complaints)) from error
    facts, numbers = [], []
    for line, (row, result) in enumerate(zip(rows, measured, strict=True), 2):
        number = row["trial"]
        if number in numbers:
            raise SpecError(f"{path}:{line}: trial {number} stands twice. Keep one row")
        try:
            facts += told.telling.of_trial(number, result, by=by)
        except SpecError as error:
            raise SpecError(*(f"{path}:{line}: {complaint}" for complaint in error.complaints)) from error
        numbers.append(number)
    told.memory.record(*facts)
    return [int(number) for number in numbers]


def _told(spec: Any, state: Any, number: int) -> dict[str, Any]:
    from labloop.campaign import view

    trial = state.trials[number]
    return {
        "trial": number, "state": trial.state, "outcomes": view.outcomes(trial), "owed": view.owed(spec, trial),
        "reason": trial.reason,
    }  # fmt: skip


def _entry(proposal: Any) -> dict[str, Any]:
    predicted = {name: {"mean": one.mean, "sd": one.sd} for name, one in proposal.predicted.items()}
    return {
        "trial": proposal.trial, "settings": proposal.settings, "predicted": predicted, "source": proposal.source,
        "why": proposal.reason,
    }  # fmt: skip


def _hoped(proposal: Any) -> str:
    from labloop.campaign import text

    return ", ".join(f"{name} {text.spread(one.mean, one.sd)}" for name, one in proposal.predicted.items())


def _next(told: Any, run: str, trial: int) -> list[str]:
    """What to do with a trial that was asked for."""
    outcomes = told.spec.outcomes
    told_by = " ".join(f"{name}=..." for name, one in outcomes.items() if not one.prefers)
    lines = [f"Tell what came of it: labloop tell {run} {trial} {told_by}"] if told_by else []
    if any(one.prefers for one in outcomes.values()):
        other = next((number for number in told.state.trials if number != trial), "OTHER")
        then = f"labloop prefer {run} {trial} over {other} (labloop compare {run} says with which)"
        lines.append(f"{'Then compare' if lines else 'Compare'} it: {then}")
    return lines
