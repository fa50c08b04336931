"""``why``: what a proposal hoped for, and why it was not another point."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from . import words
from .options import Json, RunName, run_folder


def why(
    name: RunName,
    trial: Annotated[int, typer.Argument(metavar="TRIAL", help="The trial's number.", show_default=False)],
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="not name=value ...", help="Weigh another point against it.")
    ] = None,
    json: Json = False,
) -> None:
    """Why this point? What was expected, hoped for and measured, the runners-up, what it lies on, what matters.

    `labloop why RUN 17 not temperature=90` weighs a point of yours as the planner would have then; parameters that you
    leave out are the trial's own.
    """
    from labloop.campaign.state import fold
    from labloop.journal import Reader
    from labloop.runner.kept import former_specs, kept_spec
    from labloop.runner.look import JOURNAL
    from labloop.study.basis import basis
    from labloop.study.why import explain

    folder = run_folder(name)
    instead = _instead(arguments or [])
    with Reader(folder / JOURNAL) as reader:
        records = list(reader.records())
    state = fold(records)
    if (asked := state.trials.get(trial)) is not None:  # as the campaign was when it was proposed
        state = basis(records, asked)
    spec = kept_spec(folder, state)
    document = explain(spec, records, trial, instead, former=former_specs(folder, state))
    if json:
        words.give_json(document)
        return
    units = {name: getattr(one, "unit", "") for name, one in spec.parameters.items()}
    _give(document, units)


def _instead(arguments: list[str]) -> dict[str, str] | None:
    from labloop.campaign.errors import SpecError

    if not arguments:
        return None
    first, *pairs = arguments
    settings = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key or not value:
            raise SpecError(f"{pair!r}: write settings as name=value, like temperature=90")
        settings[key] = value
    if first != "not" or not settings:
        raise SpecError(f"{' '.join(arguments)}: write not name=value ..., to weigh a point of yours")
    return settings


def _give(document: dict[str, Any], units: dict[str, str]) -> None:
    settings = ", ".join(_setting(name, value, units) for name, value in document["settings"].items())
    words.give(f"trial {document['trial']}  {settings}")
    hope = document["hope"]
    words.give(f"hoped for  {hope['kind']}: {hope['words']}")
    for outcome, entry in document["outcomes"].items():
        words.give(f"{outcome}  {_outcome(entry)}{_share(document['desirability'], outcome)}")
    if document["outlier"]:
        words.give("an outlier, as the last model sees it: it is believed less, and is not taken for the best")
    if document["desirability"]:
        words.give(f"desirability  {_desired(document['desirability'], lambda one: one['overall'])}")
    if document["acquisition"]:
        value = document["acquisition_value"]
        words.give(f"score  {document['acquisition']} = {words.number(value)}; {document['model']}")
    for outcome, one in document["evidence"].items():
        words.give(f"model of {outcome}  {_chosen(one)}")
    for line in document["amended"]:
        words.give(f"campaign  {words.plain(line)}")
    for line in document["binding"]:
        words.give(f"lies on  {line}")
    for outcome, shares in document["importance"].items():
        told = ", ".join(f"{name} {share:.0%}" for name, share in shares.items() if share >= 0.01)
        words.give(f"what matters for {outcome}  {told or 'nothing is known of it yet'}")
    if document["runners_up"]:
        names = list(document["runners_up"][0]["settings"])
        rows = [
            [words.number(one["acquisition_value"]), *(words.number(one["settings"].get(name, "")) for name in names),
             ", ".join(_hoped(outcome, two) for outcome, two in one["predicted"].items())]
            for one in document["runners_up"]
        ]  # fmt: skip
        words.give_table(["score", *names, "expected"], rows, title="runners-up")
    instead = document["instead"]
    if instead is not None:
        words.give("instead  " + ", ".join(_setting(name, value, units) for name, value in instead["settings"].items()))
        words.give(f"    {instead['words']}")
        words.give("    " + ", ".join(_hoped(outcome, one) for outcome, one in instead["predicted"].items()))
        words.give(f"    {instead['hope']['kind']}: {instead['hope']['words']}")


def _chosen(one: dict[str, Any]) -> str:
    leads = ", ".join(f"{name} {nats:+.1f}" for name, nats in sorted(one["ahead"].items(), key=lambda two: -two[1]))
    return f"{one['taken']}, by leave-one-out evidence over plain: {leads or 'too few trials to tell'}"


def _setting(name: str, value: Any, units: dict[str, str]) -> str:
    return f"{name} = {words.number(value)} {units.get(name, '')}".rstrip()


def _hoped(outcome: str, one: dict[str, float]) -> str:
    return f"{outcome} {words.spread(one['mean'], one['sd'])}"


def _share(desirability: dict[str, Any] | None, outcome: str) -> str:
    """What an outcome's own desirability is."""
    known = next((one for one in (desirability or {}).values() if one), None)
    if desirability is None or known is None or outcome not in known["each"]:
        return ""
    return f"; desirability {_desired(desirability, lambda one: one['each'][outcome])}"


def _desired(desirability: dict[str, Any], share: Callable[[dict[str, Any]], float]) -> str:
    hoped, measured = desirability["expected"], desirability["measured"]
    came = f"measured {share(measured):.3f}" if measured else "not measured"
    return f"expected {share(hoped):.3f}, {came}" if hoped else came


def _outcome(entry: dict[str, Any]) -> str:
    unit = f" {entry['unit']}".rstrip()
    hoped, measured = entry["expected"], entry["measured"]
    expected = f"expected {words.spread(hoped['mean'], hoped['sd'])}{unit}" if hoped else "nothing was expected of it"
    if measured is None:
        return f"{expected}, not {'compared' if entry['believed'] else 'measured'}"
    surprise = entry["surprise_sd"]
    off = f" ({abs(surprise):g} sd {'above' if surprise > 0 else 'below'})" if surprise is not None else ""
    came = "now believed" if entry["believed"] else "measured"
    bound = {"above": "> ", "below": "< "}.get(entry["censored"], "")
    doubt = f", not believed: {words.plain(entry['flag'])}" if entry["flag"] else ""
    return f"{expected}, {came} {bound}{words.number(measured)}{unit}{off}{doubt}"
