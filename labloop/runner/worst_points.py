"""Where a limit that speaks of an act before is worst: what several settings decide is not seen at the worst of each.

Of a table every row is a trial and nothing else is; of a space without one, the corners of those parameters that such
a limit hangs on, with the others where they may be.
"""

import itertools
import math
import random
import re
from collections.abc import Iterator, Sequence
from typing import Final

from labloop.bench.safety import Envelope
from labloop.campaign.events import PERSON, Value
from labloop.campaign.extremes import controls, corners
from labloop.campaign.ranges import Range
from labloop.campaign.space import Space
from labloop.campaign.spec import CampaignSpec
from labloop.campaign.steps import Setting, Stage, Text

from .foresight import OF_A_TRIAL, acts_of
from .resolved_plan import Settings

# Of a longer table so many rows are looked at, evenly spread.
MOST_ROWS: Final = 2000
# Eight ranges have as many corners; of more, so many are drawn.
MOST_CORNERS: Final = 256
# Points inside that lend the other parameters their values, until one keeps the constraints.
LENDERS: Final = 4
_WORD: Final = re.compile(r"\$([^\W\d]\w*)")


def rows(space: Space) -> list[Settings]:
    """The rows of a table, all or so many; none where there is no table."""
    found = space.candidates or []
    return list(found[:: math.ceil(len(found) / MOST_ROWS) or 1])


def corners_or_rows(space: Space) -> list[Settings]:
    """Where what several settings come to together is worst: at the rows of a table, else at corners of the space."""
    if space.candidates is not None:
        return rows(space)
    return [one for one in map(space.round, corners(space)) if not space.contains(one)]


def worst_points(spec: CampaignSpec, space: Space, envelope: Envelope, inside: Sequence[Settings]) -> list[Settings]:
    """Settings of trials at which limits on what acts before have set are looked at. ``inside``: some of the space."""
    if space.candidates is not None:
        return [*controls(spec), *rows(space)]
    groups = set(_groups(spec, space, envelope))
    if not groups:
        return []
    found: list[Settings] = list(controls(spec))
    anything = {name: _ends(space, name)[0] for name in space.names}
    for names in sorted(groups, key=sorted):
        for corner in _corners(space, sorted(names)):
            lent = (space.round({**anything, **lender, **corner}) for lender in inside[:LENDERS])
            found += itertools.islice((one for one in lent if not space.contains(one)), 1)
    if space.linear_constraints() or space.conditional:
        found += (one for one in corners(space) if not space.contains(one))
    return list({tuple(sorted(one.items())): one for one in found}.values())


def _corners(space: Space, names: Sequence[str]) -> Iterator[dict[str, Value]]:
    ends = [_ends(space, name) for name in names]
    if math.prod(map(len, ends)) <= MOST_CORNERS:
        every: Iterator[tuple[Value, ...]] = itertools.product(*ends)
    else:
        draw = random.Random(0)
        every = (tuple(draw.choice(one) for one in ends) for _ in range(MOST_CORNERS))
    return (dict(zip(names, one, strict=True)) for one in every)


def _ends(space: Space, name: str) -> tuple[Value, ...]:
    one = space.parameters[name]
    return (one.low, one.top) if isinstance(one, Range) else tuple(one.values)


def _groups(spec: CampaignSpec, space: Space, envelope: Envelope) -> Iterator[frozenset[str]]:
    """For each limit that speaks of acts: the parameters that decide whether an act of the recipe leaves it."""
    stages = [stage for phase in OF_A_TRIAL for stage in spec.steps_of(phase)]
    steps = [(stage, step) for stage in stages for step in stage.steps if step.instrument != PERSON]
    for stage, step in steps:
        # What is bound and not among its settings may follow from all of them.
        follow = sorted(envelope.fixed(step.instrument).keys() - step.settings.keys())
        written = {name: [setting] for name, setting in step.settings.items()}
        for name, said in (written | {one: [*step.settings.values()] for one in follow}).items():
            for bound in envelope.bounds(step.instrument, step.action, name):
                acts = acts_of(envelope, bound)
                if not acts:
                    continue
                names = _named(stage, said) | bound.when.names
                for other, act in steps:
                    if any(one.startswith(f"{act.instrument}.") for one in acts):
                        names |= _named(other, list(act.settings.values()))
                yield _with_conditions(space, names)


def _named(stage: Stage, written: Sequence[Setting]) -> frozenset[str]:
    names = frozenset(stage.when.names if stage.when is not None else ())
    for one in written:
        said = _WORD.findall(one.text) if isinstance(one, Text) and one.template else getattr(one, "names", ())
        names |= frozenset(said)
    return names


def _with_conditions(space: Space, names: frozenset[str]) -> frozenset[str]:
    """Those of the names that are parameters, and what decides whether these have a value."""
    found = names & set(space.names)
    while True:
        conditions = (space.parameters[name].active_when for name in found)
        more = found.union(*(one.names for one in conditions if one is not None)) & set(space.names)
        if more == found:
            return found
        found = more
