"""A campaign amended in mid-run: looked at first, granted by whoever writes the journal, in force from that fact on.

    look      see preview: what is another, what that does to the trials so far, what speaks against it; then the text
              and its files are put among the run's blobs, and wished for by their hashes
    prove     read both texts again, by their hashes, and check the new one against the lab: slow, changes nothing
    grant     what comes of it now: a pure function of the run's state and what was proved

A living runner proves beside its trials, or its rest, and grants between two of its facts. Nothing that is under way
changes: a trial has its settings, and its recipe may not be amended. Without a runner the wish is granted at once.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from labloop.campaign import amending as amended
from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.amendments import files_in_force, text_before, text_in_force
from labloop.campaign.errors import LabloopError, SpecError
from labloop.campaign.spec import CampaignSpec, LabSpec

from . import kept
from .answers import Answer
from .check import check
from .memory import RunMemory

LOG: Final = logging.getLogger("labloop.run")
AMEND: Final = "amend"  # the request
LEAVES: Final = "its settings leave the space as it was amended"


class Wanted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a wish to amend says: by their hashes the text that was looked at, the one wanted, and its files."""

    before: str
    after: str
    files: dict[str, str] = {}
    undoes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Proved:
    """A wish, read. ``complaints``: what speaks against it; ``spec``: what it makes of the campaign."""

    wanted: Wanted
    spec: CampaignSpec | None = None
    changes: list[e.Change] = field(default_factory=list)
    complaints: Sequence[str] = ()


def wanted_of(wish: e.Requested) -> Wanted:
    """Read a wish to amend. Raises SpecError."""
    try:
        return msgspec.json.decode(wish.arguments[0] if wish.arguments else "", type=Wanted)
    except msgspec.MsgspecError as error:
        raise SpecError(f"that is no amendment: {error}. Use `labloop amend RUN FILE`") from error


def prove(
    folder: Path, opened: e.CampaignOpened, files: dict[str, str], wish: e.Requested, lab: LabSpec | None
) -> Proved:  # fmt: skip
    """Read both texts and hold the new one against the old, and against the lab. ``files``: those of the old text."""
    wanted = Wanted(before="", after="")
    try:
        wanted = wanted_of(wish)
        before = kept.spec_of(folder, opened, wanted.before, files)
        after = kept.spec_of(folder, opened, wanted.after, wanted.files)
    except LabloopError as error:
        return Proved(wanted=wanted, complaints=[str(error)])
    return Proved(
        wanted=wanted, spec=after, changes=amended.changes(before, after),
        complaints=complaints(before, after, lab, live=opened.mode == "live"),
    )  # fmt: skip


def complaints(before: CampaignSpec, after: CampaignSpec, lab: LabSpec | None, *, live: bool) -> list[str]:
    """What speaks against one campaign instead of another: what may not be another, and what the lab does not allow.

    What the campaign is refused for as it stands (a run may have begun before the lab, or a rule of check, was another)
    holds up nothing that is amended beside it.
    """
    if refused := [*amended.refusals(before, after), *_targets(before, after)]:
        return refused
    found = check(after, lab, live=live).complaints
    if not found:
        return []
    known = {_unplaced(before, one) for one in check(before, lab, live=live).complaints}
    return [one for one in found if _unplaced(after, one) not in known]


def _unplaced(spec: CampaignSpec, complaint: str) -> str:
    """A complaint without the lines of the campaign's text, which an amendment moves."""
    name = spec.place("campaign").rsplit(":", 2)[0]
    return re.sub(rf"{re.escape(name)}:\d+:\d+", "", complaint)


def _targets(before: CampaignSpec, after: CampaignSpec) -> list[str]:
    """Complaints about targets that are written as they were, in a file that is another now."""
    rule = f"holds another target now, and {amended.OUTCOME}. {amended.NEW_RUN}"
    return [
        after.complaint(("outcomes", name, "target"), rule)
        for name in before.outcomes.keys() & after.outcomes.keys()
        if (old := before.target_of(name)) is not None
        and (new := after.target_of(name)) is not None
        and old.read_bytes() != new.read_bytes()
    ]


def grant(state: s.CampaignState, wish: e.Requested, proved: Proved, t_s: float) -> Answer:
    """What comes of a wish to amend, now that it was proved."""
    wanted = proved.wanted
    if wanted.before and wanted.before != text_in_force(state):
        last = state.amendments[-1] if state.amendments else None
        who = f" by {last.fact.by}" if last and last.fact.by else ""
        return _no(f"it was amended meanwhile{who}. Look again at what this would change")
    if proved.complaints or proved.spec is None:
        return _no("; ".join(proved.complaints))
    if not proved.changes:
        return _no("nothing is another in it")
    if wanted.undoes and (not state.amended or state.amended[-1].seq != wanted.undoes):
        return _no(f"fact {wanted.undoes} is not the last amendment. Look again at what this would take back")
    if wanted.undoes and wanted.after != text_before(state):
        return _no("that is not the text before it. Look again at what this would take back")
    found = amended.effects(proved.spec, state)
    leaves = found.leaves if state.mode != "told" else ()  # a person may be making them: theirs to say
    by = wish.by or "a person"
    facts: list[e.Fact] = [
        e.Amended(
            before_sha256=wanted.before, campaign_sha256=wanted.after, changes=proved.changes, files=wanted.files,
            leaves=list(leaves), undoes=wanted.undoes, t_s=t_s, by=by, why=wish.why,
        )
    ]  # fmt: skip
    facts += [
        e.TrialAbandoned(trial=number, reason=LEAVES, t_s=t_s, by=by)
        for number in leaves
        if state.trials[number].state == s.PROPOSED
    ]
    gone = f"; proposals that left the space: {', '.join(map(str, leaves))}" if leaves else ""
    what = "; ".join(map(amended.sentence, proved.changes))
    return Answer(accepted=True, message=f"{'taken back' if wanted.undoes else 'amended'}: {what}{gone}", facts=facts)


class Amender:
    """Grants the wishes to amend of a living run, one after the other. ``apply``: what the run does with a new text."""

    def __init__(
        self, memory: RunMemory, folder: Path, lab: LabSpec, now_s: Callable[[], float],
        apply: Callable[[CampaignSpec], None], *, at_once: bool = False,
    ) -> None:  # fmt: skip
        self._memory = memory
        self._folder = folder
        self._lab = lab
        self._now_s = now_s
        self._apply = apply
        self._at_once = at_once  # a run whose time leaps waits for nothing
        self._waiting: dict[str, e.Requested] = {}
        self._came = asyncio.Event()

    def take(self, wish: e.Requested) -> None:
        """Journal a wish from the inbox; its file stays there until it is answered, whatever happens meanwhile."""
        memory = self._memory
        if memory.state.requests.get(wish.id) is not None:  # answered before a crash: only its file was left
            memory.request_done(wish.id)
            return
        if wish.id not in memory.state.requests:
            memory.record(wish)
        self._waiting[wish.id] = wish
        if self._at_once:
            self._answer(wish, self._prove(wish, files_in_force(memory.state)))
        self._came.set()

    async def run(self) -> None:
        """Prove and grant until cancelled. Raises StoreError."""
        while True:
            await self._came.wait()
            self._came.clear()
            for wish in list(self._waiting.values()):
                # Seconds of work, while an abort must be seen within a quarter of one.
                proved = await asyncio.to_thread(self._prove, wish, files_in_force(self._memory.state))
                self._answer(wish, proved)

    def _prove(self, wish: e.Requested, files: dict[str, str]) -> Proved:
        opened = self._memory.state.opened
        assert opened is not None
        try:
            return prove(self._folder, opened, files, wish, self._lab)
        except Exception as error:  # a defect of ours, or a disk's: the trials need not end for it
            LOG.exception("an amendment could not be looked at")
            why = f"it could not be looked at ({type(error).__name__}: {error}), and nothing was changed"
            return Proved(wanted=Wanted(before="", after=""), complaints=[why])

    def _answer(self, wish: e.Requested, proved: Proved) -> None:
        memory = self._memory
        says = grant(memory.state, wish, proved, round(self._now_s(), 6))
        memory.record(*says.facts, e.RequestAnswered(id=wish.id, accepted=says.accepted, message=says.message))
        if says.accepted and proved.spec is not None:
            self._apply(proved.spec)
        memory.request_done(wish.id)
        del self._waiting[wish.id]


def decide(folder: Path, state: s.CampaignState, wish: e.Requested) -> Answer:
    """What comes of a wish to amend a run that nobody runs."""
    opened = state.opened
    if opened is None:
        return _no("nothing is opened here")
    lab = None if state.mode == "told" else kept.kept_lab(folder, opened, kept.lab_folder(folder))
    return grant(state, wish, prove(folder, opened, files_in_force(state), wish, lab), state.t_s)


def _no(message: str) -> Answer:
    return Answer(accepted=False, message=message)
