"""Reading a campaign file and a lab file: the one door to both.

    spec = read_spec("campaigns/quickstart.yaml")
    lab = read_lab("campaigns/lab.yaml")

Reading collects every complaint of a file into one SpecError. What comes out is frozen and whole.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import checks
from .complaints import read_model
from .errors import SpecError
from .grammar import PHASES, CampaignSpec
from .lab_spec import InstrumentSpec, LabSpec, check_against_lab, check_lab
from .models import Files
from .reading import Document, read_document, read_text
from .rules import TABLES
from .tables import plain_value

__all__ = [
    "CampaignSpec", "InstrumentSpec", "LabSpec", "check_against_lab", "lab_from_dict", "read_lab", "read_lab_text",
    "read_spec", "read_spec_text", "spec_from_dict",
]  # fmt: skip

_PARTS = {
    "parameters": 2, "outcomes": 2, "constraints": 2, "every": 2, "limits": 2, "design": 2, "budget": 2,
    "stop_when": 2, "instruments": 2, "safe_state": 2, "notify": 2, **dict.fromkeys((*PHASES, *TABLES), 2),
}  # fmt: skip


def read_spec(
    path: Path | str, *, lab: Path | str | None = None, folder: Path | None = None,
    files: Mapping[str, Path] | None = None, name: str | None = None, spare: Mapping[str, Path] | None = None,
) -> CampaignSpec:  # fmt: skip
    """Read a campaign file. Raises SpecError with every complaint.

    lab: a lab file instead of the one named. folder: where relative paths start (the file's own). files: what stands
    for a path as written (a run's copies), and nothing else may be named then. spare: what stands for a path at which
    there is no file. name: how complaints call the file.
    """
    document = read_document(path, name)
    return _read(document, _files(folder or Path(path).parent, files, lab, spare))


def read_spec_text(
    text: bytes | str, name: str, folder: Path, files: Mapping[str, Path] | None = None, lab: Path | str | None = None
) -> CampaignSpec:
    """Read a campaign from text; see ``read_spec``."""
    return _read(read_text(text, name), _files(folder, files, lab))


def spec_from_dict(written: Mapping[str, Any], folder: Path | str = ".", lab: Path | str | None = None) -> CampaignSpec:
    """Read a campaign from a dict of the same grammar. Raises SpecError; complaints begin with the path."""
    if not isinstance(written, Mapping):
        raise SpecError("the campaign: must be keys and values. Write {'campaign': ..., 'parameters': {...}}")
    document = Document(_plain(dict(written), 0))
    return _read(document, Files(Path(folder), {}, lab=Path(lab) if lab else None))


def _files(
    folder: Path, files: Mapping[str, Path] | None, lab: Path | str | None = None,
    spare: Mapping[str, Path] | None = None,
) -> Files:  # fmt: skip
    """Copies stand for all that may be named; without them the paths mean themselves."""
    return Files(folder, files or {}, lab=Path(lab) if lab else None, kept=files is not None, spare=spare or {})


def _plain(value: Any, depth: int) -> Any:
    """Turn what Python callers pass (tuples, numpy numbers, paths) into the values a file would have."""
    if depth > 50:
        raise SpecError("the campaign: nested deeper than 50 levels. Write it flatter")
    if isinstance(value, Mapping):
        return {str(k): v if k == "candidates" and depth == 0 else _plain(v, depth + 1) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one, depth + 1) for one in value]
    return str(value) if isinstance(value, Path) else plain_value(value)


def _refuse_other(document: Document, own: str, others: str, sentence: str) -> None:
    """Say that the file is of the other kind, instead of complaining about all that stands in it. Raises SpecError."""
    if isinstance(document.value, dict) and others in document.value and own not in document.value:
        raise SpecError(document.complaint((), sentence))


def _read(document: Document, files: Files) -> CampaignSpec:
    _refuse_other(document, "parameters", "instruments", "is a lab file, not a campaign. Name the campaign's own file")
    if files.lab is not None and isinstance(document.value, dict):
        document.value.setdefault("lab", str(files.lab))
    spec = read_model(CampaignSpec, document, files, lambda spec, broken: checks.check(spec, broken, document), _PARTS)
    return spec.made_from(document, files)


def read_lab(path: Path | str, *, files: Mapping[str, Path] | None = None, name: str | None = None) -> LabSpec:
    """Read a lab file. Raises SpecError with every complaint; ``files`` and ``name`` as for ``read_spec``."""
    return _read_lab(read_document(path, name), _files(Path(path).parent, files))


def read_lab_text(text: bytes | str, name: str, folder: Path, files: Mapping[str, Path] | None = None) -> LabSpec:
    """Read a lab from text; ``folder`` is where its relative paths and its root start."""
    return _read_lab(read_text(text, name), _files(folder, files))


def lab_from_dict(written: Mapping[str, Any], folder: Path | str = ".") -> LabSpec:
    """Read a lab from a dict of the same grammar. Raises SpecError."""
    if not isinstance(written, Mapping):
        raise SpecError("the lab: must be keys and values. Write {'name': ..., 'instruments': {...}}")
    return _read_lab(Document(_plain(dict(written), 0)), Files(Path(folder)))


def _read_lab(document: Document, files: Files) -> LabSpec:
    _refuse_other(document, "instruments", "parameters", "is a campaign, not a lab file. Name the lab's own file")
    return read_model(LabSpec, document, files, check_lab, _PARTS).made_from(document, files)
