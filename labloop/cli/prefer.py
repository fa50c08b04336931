"""``prefer`` and ``compare``: a campaign whose outcome is a person's taste."""

from typing import Annotated

import typer

from . import words
from .options import By, Json, RunName, Why, person, run_folder


def prefer(
    name: RunName,
    trial: Annotated[int, typer.Argument(metavar="TRIAL", help="The better one.", show_default=False)],
    word: Annotated[str, typer.Argument(metavar="over|like", help="like: both are equally good.", show_default=False)],
    other: Annotated[int, typer.Argument(metavar="OTHER", help="The one it is compared with.", show_default=False)],
    json: Json = False,
    by: By = "",
    why: Why = "",
) -> None:
    """Say which of two trials is better: `labloop prefer RUN 7 over 3`, or `7 like 3`, where you cannot tell.

    For campaigns with an outcome that has `goal: prefer`. Say what you think each time: what contradicts an earlier
    comparison counts as much.
    """
    from labloop.campaign import view
    from labloop.campaign.errors import SpecError, StateError
    from labloop.journal import look
    from labloop.runner import wishes
    from labloop.runner.look import see
    from labloop.runner.told import Told

    if word not in ("over", "like"):
        raise SpecError(f"{word}: must be over, or like where both are equally good: labloop prefer RUN 7 over 3")
    folder, who, tie = run_folder(name), person(by), word == "like"
    if look(folder) != "gone":  # its runner writes the journal
        reply = wishes.prefer(folder, trial, other, tie=tie, by=who, why=why)
        if reply.accepted is False:
            raise StateError(reply.message)
        if reply.accepted is None:
            words.say(f"posted; {reply.message}")
        state = see(folder).state
    else:
        with Told.take_up(folder) as told:
            told.prefer(trial, other, tie=tie, by=who, why=why)
            state = told.state
    outcomes = {number: view.outcomes(state.trials[number]) for number in (trial, other)}
    if json:
        entries = [{"trial": number, "outcomes": found} for number, found in outcomes.items()]
        words.give_json({"schema": 1, "run": name, "compared": entries})
        return
    for number, found in outcomes.items():
        values = ", ".join(f"{key} = {words.quantity(one)}" for key, one in found.items())
        words.give(f"trial {number}: {values}".rstrip(": "))


def compare(
    name: RunName,
    count: Annotated[int, typer.Option("-n", metavar="N", min=1, help="How many pairs.")] = 1,
    json: Json = False,
) -> None:
    """Which two trials are most worth comparing next, by the model of your comparisons so far."""
    from dataclasses import asdict

    from labloop.campaign.text import in_shell
    from labloop.planner import worth_comparing
    from labloop.runner.kept import former_specs
    from labloop.runner.look import see

    folder = run_folder(name)
    seen = see(folder)
    pairs = worth_comparing(seen.spec, seen.state, count, former_specs(folder, seen.state))
    if json:
        entries = [asdict(pair) | {"worth_it": pair.is_worth_it} for pair in pairs]
        words.give_json({"schema": 1, "run": name, "pairs": entries})
        return
    if not pairs:
        words.give("nothing to compare: that takes two trials that are made")
        return
    rows = [[one.trial, one.other, f"{one.chance:.0%}", words.number(one.gain), one.compared] for one in pairs]
    words.give_table(["trial", "or", "is better", "worth", "compared"], rows)
    best = pairs[0]
    if best.is_worth_it:
        run = in_shell(folder)
        words.say(f"Look at both, then: labloop prefer {run} {best.trial} over {best.other}, or {best.other} over "
                  f"{best.trial}")  # fmt: skip
    else:
        words.say("No answer could change much which of these is best: make new trials")
