"""A run as anybody may see it: its campaign and what its facts add up to, read from its folder and nothing changed."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from labloop.campaign import view
from labloop.campaign.amendments import texts
from labloop.campaign.spec import CampaignSpec
from labloop.campaign.state import CampaignState, fold
from labloop.journal import Blobs, Reader, guard_left_unsafe, last_beat, look, look_at_guard

from . import notifier
from .kept import LAB, kept_spec, kept_text

JOURNAL = "journal.db"
BENCH = "bench.db"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A run at one moment. ``runner``: alive, gone or hung; how long it had gone on at its last heartbeat."""

    folder: Path
    spec: CampaignSpec
    state: CampaignState
    runner: str
    beat_s: float | None = None

    def status(self) -> dict[str, Any]:
        """What ``labloop status --json`` prints."""
        presence: dict[str, Any] = {"runner": self.runner, "guard": None, "elapsed_s": self.beat_s}
        if self.state.mode == "live":
            presence |= {"guard": look_at_guard(self.folder), "left_unsafe": guard_left_unsafe(self.folder)}
        return {
            **view.status_document(self.spec, self.state, presence, datetime.now(UTC)),
            "notify": notifier.shown(self.folder),
        }

    def trials(self) -> dict[str, Any]:
        """What ``labloop trials --format json`` prints."""
        return view.trials_document(self.spec, self.state)


def see(folder: Path) -> Seen:
    """Read the run in ``folder``. Raises StoreError, StateError, SpecError."""
    with Reader(folder / JOURNAL) as reader:
        state = fold(reader.records())
    beat_s = last_beat(folder).get("elapsed_s")
    return Seen(folder=folder, spec=kept_spec(folder, state), state=state, runner=look(folder), beat_s=beat_s)


def verify(folder: Path) -> dict[str, int]:
    """Hold everything that the run in ``folder`` keeps against its hash; gives how much of what there was.

    The journal's rows and SQLite's pages, those of the bench's journal beside it (of a simulated run), every blob that
    a fact names, campaign.yaml and lab.yaml. Raises StoreError, StateError, SpecError for the first that is not as it
    was written.
    """
    with Reader(folder / JOURNAL) as reader:
        rows = reader.verify()
        state = fold(reader.records())
    bench = folder / BENCH
    if bench.exists():
        with Reader(bench) as reader:
            rows += reader.verify()
    kept_spec(folder, state)
    assert state.opened is not None  # else kept_spec has said so
    files = 1
    if state.opened.lab_sha256:
        kept_text(folder, LAB, state.opened.lab_sha256)
        files += 1
    blobs = Blobs(folder / "blobs")
    named = {one.blob for step in state.steps.values() for one in step.readings.values() if one.blob}
    named |= {*state.opened.files.values(), *state.opened.code.values(), *state.code.values()}
    named |= {sha for one in state.amendments for sha in one.fact.files.values()}
    named |= {sha for sha, _ in texts(state)} - {state.opened.campaign_sha256}
    for sha in sorted(named):
        blobs.get(sha)
    copy = state.opened.campaign_sha256  # what campaign.yaml is put back from; an older run has none
    if (blobs.folder / copy).exists():
        blobs.get(copy)
    return {"rows": rows, "blobs": len(named), "files": files}
