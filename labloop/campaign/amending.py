"""A campaign changed in mid-run: what is another now, whether that may be, and what it does to the trials so far.

Two campaigns are compared place by place, as they were read and not as they were written: 90 degC is 363.15 K. A table
says of each place whether it may be amended. What may: where trials may lie, what is wanted, how the planner works,
when it ends. What may not: what a trial is (the recipe, the bench, the parameters themselves), because trials before
and after would no longer be of one kind.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from . import state as s
from .amend_events import Amended, Change, Plain
from .events import Value
from .grammar import CampaignSpec
from .outcomes import PASS, PREFER, Desirability, Limit, Target
from .parameters import Choice, Molecule
from .ranges import Likely
from .reading import Path_, path_text
from .space import Space
from .text import number
from .values import told_apart

ANY: Final = "*"
REST: Final = "**"
MOST_NAMED: Final = 20  # of a long list, in a fact and on a screen

_RECIPE: Final = "belongs to what a trial is, and trials before and after would be of two kinds"
_BENCH: Final = "belongs to the bench, whose rules hold from the first step to the last"
_PARAMETER: Final = "is what trials are told apart by, and those so far were made with the parameters as they are"
OUTCOME: Final = "says how an outcome comes about, and those so far came about otherwise"
_KIND: Final = "makes another kind of outcome of it, and the trials so far have none of that kind"
# "": it may be amended; otherwise why not. The first that fits counts.
RULES: Final[Mapping[Path_, str]] = {
    ("title",): "",
    ("parameters", ANY, "range"): "",
    ("parameters", ANY, "step"): "",
    ("parameters", ANY, "choices"): "",
    ("parameters", ANY, "molecules"): "",
    ("parameters", ANY, "likely"): "",
    ("parameters", ANY, "at_most"): "",
    ("parameters", ANY, "at_least"): "",
    ("parameters", REST): _PARAMETER,
    ("constraints",): "",
    ("candidates",): "",
    ("candidates", "repeats"): "",
    ("outcomes", ANY, "goal"): "",
    ("outcomes", ANY, "limit"): "",
    ("outcomes", ANY, "weight"): "",
    ("outcomes", ANY, "reference"): "",
    ("outcomes", ANY, "desirability"): "",
    ("outcomes", ANY, "expect_within"): "",
    ("outcomes", REST): OUTCOME,
    ("design", "seed"): "is what every draw of the run comes from",
    ("design", REST): "",
    ("budget", REST): "",
    ("cost",): "",
    ("stop_when", REST): "",
    ("engine", REST): "",
    ("approval",): "",
    ("campaign",): "is the name of the run",
    ("lab",): _BENCH,
    ("limits",): _BENCH,
    ("totals", REST): _BENCH,
    ("requires", REST): _BENCH,
    ("interlocks", REST): _BENCH,
    ("plausible", REST): _BENCH,
    ("pause", REST): _BENCH,
    (REST,): _RECIPE,
}
_WHOLE: Final = (Limit, Likely, Target, Desirability)  # models that are one value to whoever reads of them
NEW_RUN: Final = "Leave it as it was, or begin a new run with it (--run) and tell that what was measured (labloop tell)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """What another campaign does to the trials that there are, by number.

    pending: proposals that have not begun, and what is to be tried again; leaves: those of them that the new space does
    not hold. running: what is under way, which stays as it is. measured: what teaches the model; outside: those of them
    that lie outside the new space, which go on teaching.
    """

    pending: tuple[int, ...] = ()
    leaves: tuple[int, ...] = ()
    running: tuple[int, ...] = ()
    measured: tuple[int, ...] = ()
    outside: tuple[int, ...] = ()


def changes(before: CampaignSpec, after: CampaignSpec) -> list[Change]:
    """What is another in ``after``, in the order of the grammar, whether it may be or not."""
    return [change for path, old, new in _differing(before, after) for change in _changes(path, old, new, after)]


def refusals(before: CampaignSpec, after: CampaignSpec) -> list[str]:
    """A complaint about each thing that is another and may not be: place, value, rule, way out."""
    return [
        after.complaint(path, f"{_was(old, new)}, and may not be amended: it {why}. {NEW_RUN}", key=old is None)
        for path, old, new in _differing(before, after)
        if (why := _why_not(path, old, new))
    ]


def effects(after: CampaignSpec, state: s.CampaignState) -> Effects:
    """What it does to the trials so far."""
    holds = Holding(after)
    found: dict[str, list[int]] = {"pending": [], "leaves": [], "running": [], "measured": [], "outside": []}
    for at, trial in sorted(state.trials.items()):
        waits = trial.state == s.PROPOSED or at in state.owed_again
        if waits and trial.role in ("candidate", "repeat"):
            found["pending"].append(at)
            if not holds(trial.settings):
                found["leaves"].append(at)
        elif trial.state in (s.RUNNING, s.AWAITING, s.IN_DOUBT):
            found["running"].append(at)
        elif trial.state in (s.MEASURED, s.FAILED) and not trial.is_withdrawn:
            found["measured"].append(at)
            if not holds(trial.settings):
                found["outside"].append(at)
    return Effects(**{name: tuple(numbers) for name, numbers in found.items()})


class Holding:
    """Whether a campaign's space holds settings; of a table of candidates, whether they are one of its rows."""

    def __init__(self, spec: CampaignSpec) -> None:
        self._space = Space(spec)
        self._rows = None if spec.candidates is None else {told_apart(row) for row in spec.candidates.rows}

    def __call__(self, settings: Mapping[str, Any]) -> bool:
        """Whether they may be tried."""
        return not self._space.contains(settings) and (self._rows is None or told_apart(settings) in self._rows)


def sentence(change: Change) -> str:
    """One change in words."""
    unit = f" {change.unit}".rstrip()
    if change.kind in ("added", "retired"):
        what = change.after if change.kind == "added" else change.before
        verb = "are" if isinstance(what, list) and len(what) > 1 else "is"
        return f"{change.place}: {_shown(what)} {verb} {change.kind}"
    how = "" if change.kind == "changed" else f" ({change.kind})"
    before = f"{_shown(change.before)}{unit if change.after is None else ''}"
    after = f"{_shown(change.after)}{'' if change.after is None else unit}"
    return f"{change.place}: {before} -> {after}{how}"


def account(fact: Amended) -> str:
    """An amendment in one line: by whom, why, and what."""
    what = "an amendment taken back" if fact.undoes else "amended"
    who = f" by {fact.by}" if fact.by else ""
    return f"{what}{who}: {'; '.join(map(sentence, fact.changes))}{f' ({fact.why})' if fact.why else ''}"


# --- comparing --------------------------------------------------------------------------------------------------------


def _differing(before: CampaignSpec, after: CampaignSpec) -> Iterator[tuple[Path_, Any, Any]]:
    """Every place at which the two say something else, with what they say (None: nothing)."""
    old, new = dict(_places(before, ())), dict(_places(after, ()))
    for path in dict.fromkeys([*old, *new]):
        one, other = old.get(path), new.get(path)
        if one == other or _follows(path, before, after):
            continue
        if path[0] in ("parameters", "outcomes") and len(path) > 2 and old.get(path[:2]) != new.get(path[:2]):
            continue  # said once, of the whole parameter or outcome
        yield path, one, other


def _places(value: Any, path: Path_) -> Iterator[tuple[Path_, Any]]:
    """Each value by its place; a parameter and an outcome also by their own, as their kind."""
    if isinstance(value, BaseModel) and not isinstance(value, _WHOLE):
        if len(path) == 2 and path[0] in ("parameters", "outcomes"):
            yield path, type(value).__name__.removesuffix("Spec").lower()
        for name, info in type(value).model_fields.items():
            yield from _places(getattr(value, name), (*path, _key_of(name, info.alias)))
    elif isinstance(value, dict) and not (path and path[0] == "candidates"):
        for key, one in value.items():
            yield from _places(one, (*path, key))
    elif path != ("candidates", "table"):
        if path[:1] == ("candidates",):
            path = ("candidates",) if path[1:] == ("rows",) else path
        yield path, value


def _key_of(name: str, alias: str | None) -> str:
    return alias or name


def _follows(path: Path_, before: CampaignSpec, after: CampaignSpec) -> bool:
    """What nobody wrote, and follows from what is written elsewhere."""
    if path == ("lab",):
        return True  # which bench it is, is held against the run's own (see runner.amending)
    written = {*before.budget.model_fields_set, *after.budget.model_fields_set}
    return path == ("budget", "attempts") and "attempts" not in written


def _why_not(path: Path_, old: Any, new: Any) -> str:
    if path[0] == "outcomes" and path[2:] == ("goal",) and {PASS, PREFER} & {str(old), str(new)}:
        return _KIND
    if path[0] == "outcomes" and path[2:] == ("goal",) and (old is None or new is None):
        return _KIND if old is None else ""
    return next(why for rule, why in RULES.items() if _fits(rule, path))


def _fits(rule: Path_, path: Path_) -> bool:
    if rule[-1] == REST:
        rule, path = rule[:-1], path[: len(rule) - 1]
    return len(rule) == len(path) and all(part in (ANY, here) for part, here in zip(rule, path, strict=True))


def _was(old: Any, new: Any) -> str:
    if old is None or new is None:
        return "is new" if old is None else "was taken out"
    return f"was {_shown(old)} so far" if isinstance(old, bool | int | float | str) and old != "" else "is another now"


# --- in words ---------------------------------------------------------------------------------------------------------


def _changes(path: Path_, old: Any, new: Any, after: CampaignSpec) -> Iterator[Change]:
    place = path_text(path)
    if path[-1] == "range" and old and new:
        yield Change(place=place, kind=_moved(old, new), before=list(old), after=list(new), unit=_unit(path, after))
    elif path[-1] in ("choices", "molecules", "constraints") and old is not None and new is not None:
        yield from _listed(place, old, new)
    elif path == ("candidates",):
        yield Change(place=place, kind="changed", before=_rows(old), after=_rows(new))
    else:
        counted = any(isinstance(one, float | Limit | Target | Likely | Desirability) for one in (old, new))
        unit = _unit(path, after) if counted else ""
        yield Change(place=place, kind="changed", before=_plain(old), after=_plain(new), unit=unit)


def _moved(old: tuple[float, float], new: tuple[float, float]) -> str:
    if new[0] <= old[0] and new[1] >= old[1]:
        return "widened"
    return "narrowed" if new[0] >= old[0] and new[1] <= old[1] else "moved"


def _listed(place: str, old: tuple[Any, ...], new: tuple[Any, ...]) -> Iterator[Change]:
    """What was retired from a list and added to it; what stays and is another (a descriptor, its rank)."""
    then, now = {_name(one): one for one in old}, {_name(one): one for one in new}
    if retired := [name for name in then if name not in now]:
        yield Change(place=place, kind="retired", before=_cut(retired))
    if added := [name for name in now if name not in then]:
        yield Change(place=place, kind="added", after=_cut(added))
    stays = [name for name in then if name in now]
    if other := [name for name in stays if then[name] != now[name]]:
        before, after = ([_plain(some[name]) for name in other] for some in (then, now))
        yield Change(place=place, kind="changed", before=_cut(before), after=_cut(after))
    order = [name for name in now if name in then]
    if stays != order and not other and place != "constraints":
        yield Change(place=place, kind="changed", before=_cut(stays), after=_cut(order))


def _name(one: Any) -> Any:
    if isinstance(one, Choice):
        return one.value
    return one.name if isinstance(one, Molecule) else str(one)


def _cut(names: list[Any]) -> list[Any]:
    more = len(names) - MOST_NAMED
    return [*names[:MOST_NAMED], f"... and {more} more"] if more > 0 else names


def _unit(path: Path_, spec: CampaignSpec) -> str:
    if path[-1] in ("time", "expect_within"):
        return "s"
    if path[0] == "parameters":
        return getattr(spec.parameters.get(str(path[1])), "unit", "")
    outcome = spec.outcomes.get(str(path[1])) if path[0] == "outcomes" else None
    return "" if outcome is None or path[-1] == "weight" else outcome.unit


def _rows(rows: Any) -> Any:
    return None if rows is None else f"{len(rows)} rows"


def _plain(value: Any) -> Plain:
    """A value as the journal keeps it: what has parts of its own becomes text, as in the file."""
    if isinstance(value, Limit):
        return f"{value.sense} {number(value.value)}"
    if isinstance(value, Desirability):
        low, high = value.exponents
        both = number(low) if low == high else f"{number(low)} and {number(high)}"
        exponent = "" if low == high == 1.0 else f", exponent {both}"
        return f"between {number(value.between[0])} and {number(value.between[1])}{exponent}"
    if isinstance(value, Target | Likely):
        return "{" + ", ".join(f"{name}: {_shown(one)}" for name, one in value if one) + "}"
    if isinstance(value, Choice):
        return f"{value.value} {_numbers(value.descriptors)}" if value.descriptors else value.value
    if isinstance(value, Molecule):
        return f"{value.name} {value.smiles}"
    if isinstance(value, list | tuple):
        return [one if isinstance(one := _plain(part), Value) else str(one) for part in value]
    return value if value is None or isinstance(value, Value) else str(value)


def _shown(value: Any) -> str:
    """A value as a person reads it."""
    plain = _plain(value)
    if isinstance(plain, list):
        return ", ".join(map(_shown, plain)) if any(isinstance(one, str) for one in plain) else _numbers(plain)
    return "nothing" if plain is None else number(plain, 6)


def _numbers(values: Sequence[Any]) -> str:
    return "[" + ", ".join(map(_shown, values)) + "]"
