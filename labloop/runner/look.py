"""A run as anybody may see it: its campaign and what its facts add up to, read from its folder and nothing changed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from labloop.campaign import events as e
from labloop.campaign import view
from labloop.campaign.errors import SpecError, StateError
from labloop.campaign.spec import CampaignSpec, read_spec, spec_from_dict
from labloop.campaign.state import CampaignState, fold
from labloop.journal import Reader, look

JOURNAL = "journal.db"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A run at one moment. ``runner``: alive, gone or hung."""

    folder: Path
    spec: CampaignSpec
    state: CampaignState
    runner: str

    def status(self) -> dict[str, Any]:
        """What ``labloop status --json`` prints."""
        presence = {"runner": self.runner, "guard": None}
        return view.status_document(self.spec, self.state, presence, datetime.now(UTC))

    def trials(self) -> dict[str, Any]:
        """What ``labloop trials --format json`` prints."""
        return view.trials_document(self.spec, self.state)


def see(folder: Path, *, verify: bool = False) -> Seen:
    """Read the run in ``folder``. ``verify``: let SQLite check its pages too.

    Raises StoreError, StateError, SpecError.
    """
    with Reader(folder / JOURNAL) as reader:
        if verify:
            reader.verify()
        state = fold(reader.records())
    return Seen(folder=folder, spec=kept_spec(folder, state.opened), state=state, runner=look(folder))


def kept_spec(folder: Path, opened: e.CampaignOpened | None) -> CampaignSpec:
    """The campaign as it was when the run began, from the copies in its folder.

    One that was a dict in Python is kept as JSON. Raises StateError, SpecError.
    """
    path = folder / "campaign.yaml"
    if opened is None:
        raise StateError(f"{folder}: its journal holds no campaign. Begin again in another folder.")
    try:
        text = path.read_bytes()
    except OSError as error:
        raise SpecError(f"{path}: cannot be read ({error.strerror}). Put it back from a copy of the folder") from error
    if sha256(text).hexdigest() != opened.campaign_sha256:
        raise SpecError(
            f"{path}: was changed after the run began, and the journal speaks of the old text. Put the old one back, "
            "or begin a new run"
        )
    files = kept_files(folder, opened.files)
    if not text.startswith(b"{"):
        return read_spec(path, files=files)
    written = json.loads(text)
    for outcome in written.get("outcomes", {}).values():
        if outcome.get("target") in files:
            outcome["target"] = str(files[outcome["target"]].resolve())
    return spec_from_dict(written, folder)


def kept_files(folder: Path, files: Mapping[str, str]) -> dict[str, Path]:
    """{path as written: the copy that the run keeps of it}."""
    return {written: folder / "blobs" / sha for written, sha in files.items()}
