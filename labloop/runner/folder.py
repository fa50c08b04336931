"""A run's folder: what lies in it, how it is made, and how it is read again.

    journal.db  blobs/<sha256>  campaign.yaml  lab.yaml  requests/  log.jsonl  origin.json  simulators/

Every file that campaign and lab name is kept among the blobs, so that a resume reads the same bytes whatever happened
to the originals. ``origin.json`` only remembers where the lab's drivers were found.
"""

import hashlib
import json
import logging
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labloop import __version__
from labloop.campaign import events as e
from labloop.campaign.errors import SpecError, StateError
from labloop.campaign.spec import CampaignSpec, LabSpec, read_lab, read_lab_text, read_spec
from labloop.journal import Blobs, Reader
from labloop.journal.files import private_folder, write_whole

from .check import check
from .clock import utc_stamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a person asked to be run. ``run``: the folder; None: ``runs/<campaign>-<n>`` here."""

    campaign: Path
    run: Path | None = None
    lab: Path | None = None
    live: bool = False
    seed: int | None = None
    trials: int | None = None
    speed: float | None = None
    virtual: bool = False
    faults: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFolder:
    """A run's folder, and the folder that its lab file was read in."""

    path: Path
    lab_folder: Path

    @property
    def name(self) -> str:
        """The run as the bench remembers it, and a person may name it from any folder."""
        return str(self.path.resolve())


def run_folder(order: Order) -> Path:
    """The folder that an order will use. Raises SpecError when the campaign cannot be read."""
    if order.run is not None:
        return order.run
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", read_spec(order.campaign).campaign)
    number = 1
    while (Path("runs") / f"{name}-{number}").exists():
        number += 1
    return Path("runs") / f"{name}-{number}"


def create(order: Order) -> tuple[RunFolder, CampaignSpec, LabSpec, e.CampaignOpened]:
    """Read and check an order, and make its folder. Raises SpecError before anything is written."""
    spec = read_spec(order.campaign, lab=order.lab)
    lab_path = order.lab or spec.lab
    if lab_path is None or not spec.trial:
        missing = "lab" if lab_path is None else "trial"
        raise SpecError(
            f"{order.campaign}: the campaign has no `{missing}:`, so nothing can be run. "
            f"Add it, or use `labloop ask` and `labloop tell`."
        )
    lab_spec = read_lab(lab_path)
    mode, speed = _mode(order, lab_spec, lab_path)
    plan = check(spec, lab_spec, live=order.live)
    if plan.complaints:
        raise SpecError(*plan.complaints)
    path = run_folder(order)
    private_folder(path)
    (path / "requests").mkdir(mode=0o700, exist_ok=True)
    blobs = Blobs(path / "blobs")
    files = {written: blobs.put(found.read_bytes()) for written, found in {**spec.files, **lab_spec.files}.items()}
    write_whole(path / "campaign.yaml", spec.source.encode())
    write_whole(path / "lab.yaml", lab_spec.source.encode())
    origin = {"lab_folder": str(lab_spec.folder.resolve())}
    write_whole(path / "origin.json", json.dumps(origin).encode())
    folder = RunFolder(path=path, lab_folder=lab_spec.folder)
    seed = spec.design.seed if order.seed is None else order.seed
    campaign_sha, lab_sha = (hashlib.sha256(text.encode()).hexdigest() for text in (spec.source, lab_spec.source))
    opened = e.CampaignOpened(
        campaign=spec.campaign,
        run_id=_run_id(mode, f"{campaign_sha}{lab_sha}{seed}"),
        version=__version__,
        mode=mode,
        seed=seed,
        speed=speed,
        faults=order.faults,
        campaign_sha256=campaign_sha,
        lab_sha256=lab_sha,
        files=files,
    )
    return folder, spec, lab_spec, opened


def read(path: Path) -> tuple[RunFolder, CampaignSpec, LabSpec]:
    """Read a run's folder again. Raises StoreError, SpecError, StateError."""
    with Reader(path / "journal.db") as reader:
        opened = next((record.event for record in reader.records()), None)
    if not isinstance(opened, e.CampaignOpened):
        raise StateError(f"{path}: the journal holds no campaign; begin again in another folder")
    if opened.mode == "told":
        raise StateError(f"{path}: this campaign is asked and told; use `labloop ask` and `labloop tell`")
    _refuse_changed(path / "campaign.yaml", opened.campaign_sha256)
    _refuse_changed(path / "lab.yaml", opened.lab_sha256 or "")
    origin = json.loads((path / "origin.json").read_text())
    folder = RunFolder(path=path, lab_folder=Path(origin["lab_folder"]))
    kept = {written: path / "blobs" / sha for written, sha in opened.files.items()}
    spec = read_spec(path / "campaign.yaml", files=kept)
    text = (path / "lab.yaml").read_bytes()
    lab_spec = read_lab_text(text, str(path / "lab.yaml"), folder.lab_folder, files=kept)
    return folder, spec, lab_spec


def portable(spec: CampaignSpec) -> dict[str, Any]:
    """The campaign as plain values for another process: files by absolute path, no lab."""
    named = {written: str(found.resolve()) for written, found in spec.files.items()}

    def moved(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: moved(one) for key, one in value.items()}
        if isinstance(value, list):
            return [moved(one) for one in value]
        return named.get(value, value) if isinstance(value, str) else value

    return {key: moved(value) for key, value in spec.dump().items() if key != "lab"}


def refuse_other_campaign(path: Path, order: Order) -> None:
    """Raise SpecError when the folder holds another campaign than the one ordered."""
    kept, wanted = path / "campaign.yaml", order.campaign
    if not kept.exists() or kept.read_bytes() != wanted.read_bytes():
        raise SpecError(
            f"{path}: this folder holds a run of another campaign (or an earlier text of it) than {wanted}. "
            f"Give another folder with --run, or go on with the old one: `labloop resume {path}`."
        )


def _refuse_changed(path: Path, sha256: str) -> None:
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise SpecError(
            f"{path}: the file was changed after the run began, and the journal speaks of the old one. "
            f"Put the old text back, or begin a new run."
        )


def _mode(order: Order, lab_spec: LabSpec, lab_path: Path) -> tuple[str, float]:
    if order.live and order.virtual:
        raise SpecError("--live and --virtual exclude each other: real instruments have no virtual clock")
    if order.live and order.faults:
        raise SpecError("--faults is for simulated instruments; real ones bring their own")
    if order.live:
        if order.speed is not None and not lab_spec.simulated:
            raise SpecError(
                f"--speed {order.speed:g}: {lab_path} is a lab of real instruments, which keep their own time. "
                f"Leave --speed out."
            )
        return "live", (order.speed or lab_spec.speed) if lab_spec.simulated else 1.0
    if order.virtual:
        return "virtual", 1.0
    return "simulated", order.speed or lab_spec.simulation.speed


def _run_id(mode: str, content: str) -> str:
    """Names the run among all of a bench. A virtual bench has no other runs, and must write the same facts twice."""
    return hashlib.sha256(content.encode()).hexdigest()[:16] if mode == "virtual" else secrets.token_hex(8)


class JsonLines(logging.Handler):
    """Log records as one JSON object a line."""

    def __init__(self, path: Path) -> None:
        super().__init__(logging.INFO)
        self._file = path.open("a", encoding="utf-8")

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; tracebacks go along."""
        line: dict[str, Any] = {
            "at": utc_stamp(),
            "level": record.levelname.lower(),
            "where": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = logging.Formatter().formatException(record.exc_info)
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()
