"""What facts are made of: values with units, readings, predictions, and the base of every fact.

``gc=False``: what is frozen and read from JSON holds no cycle, and the garbage collector need not walk over the
hundreds of thousands of facts of a journal of weeks, again and again while it is read.
"""

from collections.abc import Mapping
from typing import Final, TypeAlias

import msgspec

Value: TypeAlias = float | int | str | bool
PERSON: Final = "person"  # the instrument that needs no driver: its steps are asked of a person


def as_word(value: Value) -> str:
    """A choice as files and expressions write it: yes and no are ``true`` and ``false``."""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def told_apart(settings: Mapping[str, Value]) -> tuple[tuple[str, Value], ...]:
    """What tells settings from others, in whatever order they stand: to be looked for in a set."""
    return tuple(sorted(settings.items()))


class Fact(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, tag=True, gc=False
):  # fmt: skip
    """What all facts share: frozen, keyword-only, tagged by class name."""


class Timed(Fact, frozen=True, kw_only=True):
    """A fact of the run's own course. ``t_s``: when, in lab seconds; its memory fills it in (0: an older journal)."""

    t_s: float = 0.0


class Amount(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """A number with its unit (``""``: dimensionless), or a word (unit ``""``)."""

    value: Value
    unit: str = ""


class Reading(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """One measured value: a number or word, or an array kept as a blob (float64, little-endian, ``length`` values).

    censored: the true value lies ``above`` or ``below`` it (a saturated detector, a limit of detection). flag: why it
    is not to be believed at all. Neither is a value to learn from. word: what was seen, where the value is the verdict
    on it. axis: of an array, the unit of its first half ("": not known).
    """

    value: Value | None = None
    unit: str = ""
    sd: float | None = None
    blob: str | None = None
    length: int | None = None
    censored: str = ""
    flag: str = ""
    word: str = ""
    axis: str = ""


class Stand(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What stands at an instrument until somebody changes it: a set value, a position, a counter; True: it goes on.

    within: a difference up to this is none. counts: of what was moved, so that refilling by hand changes it. said: what
    its instrument knows of it besides, in words.
    """

    value: Value
    unit: str = ""
    within: float = 0.0
    counts: bool = False
    said: str = ""


class Witness(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What the guard saw of one instrument. ``state``: stopped, not stopped, kept, something else, not reached.

    ``before`` and ``after``: its own counters, as the guard found them and when all stood still: evidence of what the
    acts came to that the guard broke off. ``stands``: what stood there then that somebody may change at its keys.
    ``notes``: what could not be asked.
    """

    state: str
    identity: str = ""
    first_reply: str = ""
    before: dict[str, Amount] = {}
    after: dict[str, Amount] = {}
    readings: dict[str, Reading] = {}
    stands: dict[str, Stand] = {}
    notes: list[str] = []

    @property
    def tells(self) -> bool:
        """Whether it was seen to stand still and read then: what it shows later is no more of the act broken off."""
        return self.state == "stopped" and bool(self.after)

    def later(self, other: "Witness") -> "Witness":
        """What counts once another guard has seen it as well: the first that tells; no alarm is forgotten."""
        if self.tells or self.first_reply in other.first_reply:
            return self if self.tells else other
        return msgspec.structs.replace(other, first_reply=f"{self.first_reply} {other.first_reply}".strip())


class Prediction(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """What the model expected of one outcome, in the outcome's own unit."""

    mean: float
    sd: float


class Evidence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Which model was ``taken`` for one outcome, and how far each other one is ``ahead`` of the plain one, in nats."""

    taken: str
    ahead: dict[str, float] = {}


class RunnerUp(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """A point that was weighed and not taken."""

    settings: dict[str, Value]
    acquisition: float
    predicted: dict[str, Prediction] = {}
