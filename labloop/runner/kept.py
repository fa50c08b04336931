"""What a run was begun with, as its folder keeps it, and a refusal when something of it is another now.

    campaign.yaml  lab.yaml  blobs/<sha256>     the texts, every file that they name, and the drivers' code

The journal's first fact has the hash of each. A copy that is not what it was, an original that a person gives again and
that is another, code that was changed: nothing goes on then, and the difference is shown.
"""

import json
from codecs import BOM_UTF8
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from labloop.campaign import events as e
from labloop.campaign.amendments import files_in_force, text_in_force, texts
from labloop.campaign.errors import LabloopError, SpecError, StateError
from labloop.campaign.spec import CampaignSpec, LabSpec, read_lab_text, read_spec, read_spec_text, spec_from_dict
from labloop.campaign.state import CampaignState
from labloop.campaign.text import in_shell
from labloop.journal import Blobs, StoreError
from labloop.journal.origin import ORIGIN as ORIGIN
from labloop.journal.origin import lab_folder as lab_folder

from .difference import difference

CAMPAIGN: Final = "campaign.yaml"
LAB: Final = "lab.yaml"


def kept_spec(folder: Path, state: CampaignState) -> CampaignSpec:
    """The campaign that is in force: as it was when the run began, or as it was amended since.

    Raises StateError, SpecError (a copy is gone, or another), StoreError (a file that it names is).
    """
    return spec_of(folder, state.opened, text_in_force(state), files_in_force(state))


def former_specs(folder: Path, state: CampaignState) -> list[CampaignSpec]:
    """What was in force before, oldest first: trials that were made then may have choices that are none now."""
    return [spec_of(folder, state.opened, sha, files) for sha, files in texts(state)[:-1]]


def spec_of(folder: Path, opened: e.CampaignOpened | None, sha: str, files: Mapping[str, str]) -> CampaignSpec:
    """A text of the campaign that was in force at some time; one that was a dict in Python is kept as JSON.

    Raises as ``kept_spec`` does.
    """
    text, name = text_of(folder, opened, sha)
    return _read(text, name, folder, kept_files(folder, files))


def text_of(folder: Path, opened: e.CampaignOpened | None, sha: str) -> tuple[bytes, str]:
    """A text of the campaign by its hash, and what complaints call it. Raises StateError, SpecError, StoreError."""
    if opened is None:
        raise StateError(f"{folder}: its journal holds no campaign. Begin again in another folder.")
    if sha == opened.campaign_sha256:
        return kept_text(folder, CAMPAIGN, sha), str(folder / CAMPAIGN)
    return Blobs(folder / "blobs").get(sha), f"{folder / CAMPAIGN} (amended)"


def _read(text: bytes, name: str, folder: Path, files: Mapping[str, Path]) -> CampaignSpec:
    written = _dict_of(text)
    if written is None:
        lab = folder / LAB  # whichever it was, the one named or one given instead; a campaign that is told has none
        return read_spec_text(text, name, folder, files, lab=lab if lab.exists() else None)
    for outcome in written.get("outcomes", {}).values():
        if outcome.get("target") in files:
            outcome["target"] = str(files[outcome["target"]].resolve())
    return spec_from_dict(written, folder)


def _dict_of(text: bytes) -> dict[str, Any] | None:
    """What was a dict in Python, and is kept as JSON; None: it is a file's text, which may begin with a brace too."""
    try:
        written = json.loads(text) if text.startswith(b"{") else None
    except ValueError:
        return None
    return written if isinstance(written, dict) else None


def kept_lab(folder: Path, opened: e.CampaignOpened, lab_folder: Path) -> LabSpec:
    """The lab file as it was; its drivers lie where they lay then. Raises SpecError, StoreError."""
    text = kept_text(folder, LAB, opened.lab_sha256 or "")
    return read_lab_text(text, str(folder / LAB), lab_folder, files=kept_files(folder, opened.files))


def kept_files(folder: Path, files: Mapping[str, str]) -> dict[str, Path]:
    """{path as written: the copy that the run keeps of it}, each held against its hash. Raises StoreError."""
    blobs = Blobs(folder / "blobs")
    return {written: blobs.sound_path(sha) for written, sha in files.items()}


def kept_text(folder: Path, name: str, sha: str) -> bytes:
    """Read a copy. Raises SpecError, with what was changed, when it is not what it was."""
    path = folder / name
    try:
        now = path.read_bytes()
    except OSError as error:
        raise SpecError(f"{path}: cannot be read ({error.strerror}). {_put_back(folder, name, sha)}") from error
    if sha256(now).hexdigest() == sha:
        return now
    before = _blob(folder, sha)
    shown = "" if before is None else f"\n{difference(before, now, str(path))}"
    raise SpecError(
        f"{path}: was changed after the run began, and the journal speaks of the old text. "
        f"{_put_back(folder, name, sha)}{shown}"
    )


def refuse_other_files(folder: Path, state: CampaignState, campaign: Path, lab: Path | None) -> None:
    """Hold the files that a person names against what the run in ``folder`` was begun with, or amended to.

    Raises SpecError with every difference, or for a file that cannot be read.
    """
    opened = state.opened
    assert opened is not None
    differing = _other(folder, campaign, text_in_force(state))
    if not differing:
        spec = read_spec(campaign, lab=lab)
        named = dict(spec.files)
        if spec.lab is not None and opened.lab_sha256 is not None:
            differing += _other(folder, spec.lab, opened.lab_sha256)
        for written, sha in files_in_force(state).items():
            if written in named and named[written] != spec.lab:
                differing += _other(folder, named[written], sha)
    if differing:
        raise SpecError(
            f"{folder}: holds a run of another campaign (or of another text of its files) than is given. "
            f"Go on with the run's own: `labloop resume {in_shell(folder)}`. To change the run: `labloop amend "
            f"{in_shell(folder)} {in_shell(campaign)}`, which shows first what that does. For a new run give another "
            "folder with --run, and tell it what was measured (`labloop tell RUN --table T.csv`)\n"
            + "\n".join(differing)
        )


def refuse_other_code(folder: Path, began: Mapping[str, str], now: Mapping[str, bytes]) -> None:
    """Hold the drivers' code against what the run was begun with. Raises SpecError with every difference."""
    differing = []
    for name in sorted(began.keys() | now.keys()):
        if name not in now:
            differing.append(f"{name}: is not there any more")
        elif name not in began:
            differing.append(f"{name}: was not there when the run began")
        elif sha256(now[name]).hexdigest() != began[name]:
            before = _blob(folder, began[name])
            differing.append(f"{name}: was changed" if before is None else difference(before, now[name], name))
    if differing:
        raise SpecError(
            f"{folder}: the code that moves its instruments is not what the run was begun with. Put the old code back, "
            f"or accept the new one, as a fact in the journal: "
            f"`labloop resume {in_shell(folder)} --new-code --why TEXT`\n" + "\n".join(differing)
        )


def _other(folder: Path, path: Path, sha: str) -> list[str]:
    try:
        now = path.read_bytes()
    except OSError as error:
        return [f"{path}: cannot be read ({error.strerror})"]
    if sha in (sha256(now).hexdigest(), sha256(now.removeprefix(BOM_UTF8)).hexdigest()):
        return []
    before = _blob(folder, sha)
    return [f"{path}: is another file than then" if before is None else difference(before, now, str(path))]


def _blob(folder: Path, sha: str) -> bytes | None:
    """What a file was, or None where the run (an older one) kept no copy, or a damaged one."""
    try:
        return Blobs(folder / "blobs").get(sha)
    except (StoreError, LabloopError):
        return None


def _put_back(folder: Path, name: str, sha: str) -> str:
    back = f"cp {folder / 'blobs' / sha} {folder / name}" if _blob(folder, sha) is not None else "from a copy of it"
    amend = f" To change the run: `labloop amend {in_shell(folder)} FILE`" if name == CAMPAIGN else ""
    return f"Put the old text back ({back}), or begin a new run in another folder.{amend}"
