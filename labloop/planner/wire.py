"""The lines between a runner and its planner's process: one JSON document a line, nothing pickled.

    runner -> planner    Open, Facts, Ask           planner -> runner    Ready, Answer, Refusal

Lines are handled in order, so an answer rests on exactly the facts sent before its question. The planner's process ends
when its stdin does.
"""

from typing import Any

import msgspec

from labloop.campaign.events import CampaignEvent, Record

from .proposal import Proposal


class Open(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """The campaign, as the dict that ``spec_from_dict`` reads; relative paths start at ``folder``.

    Said again when the campaign is amended; ``former``: what it was before, in the same form.
    """

    spec: dict[str, Any]
    folder: str
    former: list[dict[str, Any]] = []


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A record with its fact typed."""

    seq: int
    at: str
    event: CampaignEvent


class Facts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """The journal's next records."""

    records: list[Line]


class Ask(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """``count`` proposals from trial ``first`` on (None: the next free number).

    based_on: the last fact the runner had sent. design_only: why the model is not to be asked ("": it is).
    """

    request: int
    count: int
    first: int | None = None
    based_on: int = 0
    design_only: str = ""


class Ready(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """Warm: everything is loaded and the campaign understood."""


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """The proposals that were asked for."""

    request: int
    proposals: list[Proposal]


class Refusal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """No proposal. ``kind``: nothing_left, spec, state, or defect (labloop's own). request None: the campaign."""

    request: int | None
    kind: str
    message: str


_ENCODER = msgspec.json.Encoder()
_TO_PLANNER: msgspec.json.Decoder[Open | Facts | Ask] = msgspec.json.Decoder(Open | Facts | Ask)
_FROM_PLANNER: msgspec.json.Decoder[Ready | Answer | Refusal] = msgspec.json.Decoder(Ready | Answer | Refusal)


def pack(message: Open | Facts | Ask | Ready | Answer | Refusal) -> bytes:
    """One line, newline included."""
    return _ENCODER.encode(message) + b"\n"


def pack_records(records: list[Record]) -> bytes:
    """The line of ``Facts``."""
    return pack(Facts(records=[Line(record.seq, record.at, record.event) for record in records]))


def read_for_planner(line: bytes) -> Open | Facts | Ask:
    """What the runner said. Raises msgspec.DecodeError."""
    return _TO_PLANNER.decode(line)


def read_for_runner(line: bytes) -> Ready | Answer | Refusal:
    """What the planner said. Raises msgspec.DecodeError."""
    return _FROM_PLANNER.decode(line)


def records(facts: Facts) -> list[Record]:
    """The journal's records again."""
    return [Record(line.seq, line.at, line.event) for line in facts.records]
