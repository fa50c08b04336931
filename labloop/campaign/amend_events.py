"""The facts that a campaign was amended in mid-run, and what was another in it."""

from typing import TypeAlias

import msgspec

from .values import Fact, Value

Plain: TypeAlias = Value | list[Value] | None


class BudgetExtended(Fact, frozen=True, kw_only=True):
    """``resume --trials +N``."""

    trials: int
    by: str = ""
    why: str = ""


class Change(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One thing that is another now. ``place``: where it stands in the campaign, as in ``parameters.q_tot.range``.

    ``kind``: widened, narrowed, moved (of a range), added, retired (of a list), changed. ``before`` and ``after``:
    plain values in ``unit``, None for what is not there; of a list only what was retired or added, long ones cut.
    """

    place: str
    kind: str
    before: Plain = None
    after: Plain = None
    unit: str = ""


class Amended(Fact, frozen=True, kw_only=True):
    """From here on another text of the campaign is in force: what is proposed, weighed and stopped by follows it.

    Both texts lie among the blobs by their hashes; ``files``: every file that the new one names, {path as written:
    sha256}. ``leaves``: proposals that had not begun, and settings that were to be tried again, which the new space
    does not hold: given up. ``undoes``: the sequence number of the amendment that this one takes back.
    """

    before_sha256: str
    campaign_sha256: str
    changes: list[Change]
    files: dict[str, str] = {}
    leaves: list[int] = []
    undoes: int = 0
    t_s: float = 0.0
    by: str = ""
    why: str = ""
