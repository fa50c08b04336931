"""What amending a run would do, looked at before anybody wishes for it; nothing here changes the run."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from labloop.campaign import amending as amended
from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.amendments import extended_without, files_in_force, text_in_force
from labloop.campaign.errors import SpecError, StateError
from labloop.campaign.spec import CampaignSpec, read_spec, read_spec_text
from labloop.journal import Blobs, Reader

from . import kept
from .amending import Wanted, complaints
from .look import JOURNAL
from .rewriting import rewritten


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What an amendment would do. ``text``: the new text; ``named``: the files that it names, by path as written."""

    folder: Path
    state: s.CampaignState
    before: CampaignSpec
    after: CampaignSpec
    text: bytes
    named: dict[str, bytes]
    changes: list[e.Change]
    effects: amended.Effects
    undoes: int = 0

    def wish(self) -> list[str]:
        """Keep the new text and its files among the run's blobs, and give the arguments of the wish for them.

        Raises StoreError.
        """
        blobs = Blobs(self.folder / "blobs")
        wanted = Wanted(
            before=text_in_force(self.state), after=blobs.put(self.text), undoes=self.undoes,
            files={written: blobs.put(data) for written, data in self.named.items()},
        )  # fmt: skip
        return [msgspec.json.encode(wanted).decode()]

    def document(self) -> dict[str, Any]:
        """As ``labloop amend --json`` gives it."""
        found = self.effects
        return {
            "changes": [msgspec.to_builtins(change) | {"words": amended.sentence(change)} for change in self.changes],
            "pending": list(found.pending), "leaves": list(found.leaves), "running": list(found.running),
            "outside": list(found.outside), "undoes": self.undoes or None, "words": self.words(),
        }  # fmt: skip

    def words(self) -> list[str]:
        """What it does, in sentences."""
        found, told = self.effects, self.state.mode == "told"
        says = []
        if found.pending:
            until = "stands until it is told" if len(found.leaves) == 1 else "stand until they are told"
            stand = f"{until}, or told void" if told else "will not be made"
            gone = f": {_numbers(found.leaves)} {stand}" if found.leaves else ""
            verb = "leaves" if len(found.leaves) == 1 else "leave"
            says.append(f"{len(found.leaves)} of {_count(found.pending, 'pending proposal')} {verb} the space{gone}")
        if found.running:
            verb = "is" if len(found.running) == 1 else "are"
            says.append(f"{_numbers(found.running)} {verb} under way and not changed by it")
        if found.outside:
            lie = "lies" if len(found.outside) == 1 else "lie"
            says.append(
                f"{len(found.outside)} of {_count(found.measured, 'trial')} so far {lie} outside the new space, and go "
                "on teaching the model"
            )
        allowed = self.after.budget.trials
        if any(change.place == "budget.trials" for change in self.changes) and allowed is not None:
            more = self.state.extended_trials
            allowed += extended_without(self.state, self.state.amended[-1]) if self.undoes else 0
            asked = f"{abs(more)} {'more' if more > 0 else 'fewer'}"
            extra = f" (the {asked} that --trials asked for are over)" if more and not self.undoes else ""
            over = ", so the run is at its end" if self.state.measured >= allowed else ""
            says.append(f"{self.state.measured} of {allowed} trials are measured{extra}{over}")
        return says


def look_at(folder: Path, file: Path) -> Preview:
    """What amending the run in ``folder`` to the campaign in ``file`` would do. Changes nothing.

    Raises SpecError with everything that speaks against it, StateError, StoreError.
    """
    state = _state(folder)
    if file.resolve() == (folder / kept.CAMPAIGN).resolve():
        raise SpecError(f"{file}: is the run's own copy, which stays as it was. Give a changed copy of it")
    before = kept.kept_spec(folder, state)
    spare = kept.kept_files(folder, files_in_force(state))
    lab = folder / kept.LAB
    after = read_spec(file, lab=lab if lab.exists() else None, spare=spare)
    _refuse_other_lab(state, before, after, file)
    named = {written: found.read_bytes() for written, found in after.files.items()}
    return _preview(folder, state, before, after, after.source.encode(), named)


def look_at_places(folder: Path, typed: Sequence[str]) -> Preview:
    """What amending a few places, each ``PLACE=VALUE``, would do (see rewriting). Raises as ``look_at``."""
    state = _state(folder)
    now, _ = kept.text_of(folder, state.opened, text_in_force(state))
    text = rewritten(now.decode(), typed).encode()
    before, files = kept.kept_spec(folder, state), kept.kept_files(folder, files_in_force(state))
    lab = folder / kept.LAB
    after = read_spec_text(text, "the amended campaign", folder, files, lab if lab.exists() else None)
    named = {written: found.read_bytes() for written, found in after.files.items()}
    return _preview(folder, state, before, after, text, named)


def look_at_undo(folder: Path) -> Preview:
    """What taking the last amendment back would do. Raises as ``look_at``; StateError: there is none."""
    state = _state(folder)
    if not state.amended:
        raise StateError(f"{folder}: no amendment is in force, so none can be taken back")
    last = state.amended[-1]
    sha = last.fact.before_sha256
    files = state.amended[-2].fact.files if len(state.amended) > 1 else state.opened.files if state.opened else {}
    before, after = kept.kept_spec(folder, state), kept.spec_of(folder, state.opened, sha, files)
    blobs = Blobs(folder / "blobs")
    named = {written: blobs.get(one) for written, one in files.items()}
    text, _ = kept.text_of(folder, state.opened, sha)
    return _preview(folder, state, before, after, text, named, undoes=last.seq)


def text_now(folder: Path) -> str:
    """The campaign's text that is in force. Raises StateError, SpecError, StoreError."""
    state = _state(folder)
    return kept.text_of(folder, state.opened, text_in_force(state))[0].decode()


def _state(folder: Path) -> s.CampaignState:
    with Reader(folder / JOURNAL) as reader:
        return s.fold(reader.records())


def _preview(
    folder: Path, state: s.CampaignState, before: CampaignSpec, after: CampaignSpec, text: bytes,
    named: dict[str, bytes], undoes: int = 0,
) -> Preview:  # fmt: skip
    opened = state.opened
    assert opened is not None  # else kept_spec has said so
    lab = None if state.mode == "told" else kept.kept_lab(folder, opened, kept.lab_folder(folder))
    if against := complaints(before, after, lab, live=opened.mode == "live"):
        raise SpecError(*against)
    found = amended.changes(before, after)
    if not found:
        raise SpecError(f"{folder}: the run has this campaign already: nothing is another in it")
    import_module("labloop.planner.problem").read_problem(after)
    return Preview(
        folder=folder, state=state, before=before, after=after, text=text, named=named, changes=found,
        effects=amended.effects(after, state), undoes=undoes,
    )  # fmt: skip


def _refuse_other_lab(state: s.CampaignState, before: CampaignSpec, after: CampaignSpec, file: Path) -> None:
    """A run keeps its bench: the file must name the lab that the run has, by the same words or with the same text."""
    old, new = (one.written("lab") for one in (before, after))
    if old == new or state.mode == "told":
        return
    meant = file.parent / str(new)
    try:
        same = state.opened is not None and sha256(meant.read_bytes()).hexdigest() == state.opened.lab_sha256
    except OSError:
        same = False
    if not same:
        raise SpecError(after.complaint(("lab",), f"is not the lab of the run ({old}). {amended.NEW_RUN}"))


def _numbers(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:8])) + (", ..." if len(numbers) > 8 else "")
    return f"trial{'s' if len(numbers) > 1 else ''} {shown}"


def _count(numbers: Sequence[int], what: str) -> str:
    return f"{len(numbers)} {what}{'' if len(numbers) == 1 else 's'}"
