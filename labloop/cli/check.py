"""``check`` and ``schema``: what can be known before anything moves."""

from typing import Annotated, Any

import typer

from . import words
from .options import Campaign, Json, Lab


def check(
    campaign: Campaign,
    lab: Lab = None,
    live: Annotated[
        bool, typer.Option("--live", help="Also open and identify the real instruments; sets nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Validate everything that can be known before anything moves, and print the resolved plan."""
    from labloop.bench import BenchError
    from labloop.campaign.errors import SpecError
    from labloop.campaign.spec import read_lab, read_spec
    from labloop.runner.check import check as examine

    spec = read_spec(campaign, lab=lab) if lab else read_spec(campaign)
    if spec.lab is None and live:
        raise SpecError(f"{campaign}: names no lab, so --live has nothing to open. Add --lab LAB")
    lab_spec = read_lab(spec.lab) if spec.lab is not None else None
    plan = examine(spec, lab_spec, live=live)
    answers = []
    if live and lab_spec is not None and not plan.complaints:
        from labloop.runner import by_hand  # loads the simulation too

        with by_hand.hand_bench(lab_spec, live=True, looks=True) as bench:
            answers = by_hand.ask_all(bench)
    lost = {one.instrument: one.error for one in answers if one.error}
    if json:
        document = plan.document()
        if live:
            document["identified"] = {one.instrument: {**one.identity, "error": one.error} for one in answers}
        words.give_json({"schema": 1, "ok": not (plan.complaints or lost), **document})
    elif not plan.complaints:
        _give(plan)
        for one in answers:
            words.give(f"identified  {one.instrument}: {one.error or ' '.join(filter(None, one.identity.values()))}")
    for one in answers:
        if one.left:
            words.say(f"{one.instrument}: {one.left}")
    for warning in plan.warnings:
        words.say(f"warning: {warning}")
    if plan.complaints:
        raise SpecError(*plan.complaints)
    if lost:
        raise BenchError("\n".join(f"{name}: {why}" for name, why in lost.items()))


def schema(
    which: Annotated[
        str | None, typer.Argument(metavar="campaign|lab", help="Which file's; without: both in one document.")
    ] = None,
) -> None:
    """The JSON Schemas of campaign and lab files, for editors."""
    from labloop.campaign import schema as schemas
    from labloop.campaign.errors import SpecError
    from labloop.campaign.models import did_you_mean

    known = {"campaign": schemas.campaign_schema, "lab": schemas.lab_schema}
    if which is None:
        words.give_json({"schema": 1, **{name: make() for name, make in known.items()}})
    elif which in known:
        words.give_json(known[which]())
    else:
        raise SpecError(f"{which}: there is no such schema. {did_you_mean(which, known)}")


def _give(plan: Any) -> None:
    from labloop.campaign import text

    words.give(f"{plan.campaign}: nothing to complain about")
    words.give(
        f"trials      {plan.trials if plan.trials is not None else 'no limit'}, at most {plan.attempts or '?'} attempts"
    )
    for name, where in plan.desirability.items():
        words.give(f"desirable   {name}: {where}")
    if plan.trial_s is not None:
        worst = f", {text.duration(plan.whole_s)} in all" if plan.whole_s is not None else ""
        words.give(f"time        {text.duration(plan.trial_s)} a trial at worst{worst} (bench time)")
    for name, stock in plan.stock.items():
        held = f"of {text.number(stock.held)}" if stock.held is not None else "(nobody counts it)"
        words.give(f"stock       {name}: {text.number(stock.needed)} {held} {stock.unit} at worst")
    if plan.reaches:
        rows = [
            [
                f"{one.instrument}.{one.setting}",
                f"{text.number(one.low)} {one.unit}",
                f"{text.number(one.high)} {one.unit}",
                words.pairs(one.high_at),
            ]
            for one in plan.reaches
        ]
        words.give_table(["setting", "lowest", "highest", "highest at"], rows)
    for name, who in plan.safety.items():
        words.give(f"if this computer dies, {name}: {who or 'NOBODY makes it safe'}")
