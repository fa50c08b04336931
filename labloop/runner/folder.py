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
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from labloop import __version__
from labloop.campaign import events as e
from labloop.campaign.errors import SpecError, StateError
from labloop.campaign.spec import CampaignSpec, LabSpec, read_lab, read_spec
from labloop.campaign.state import CampaignState, fold
from labloop.campaign.text import in_shell
from labloop.journal import Blobs, Reader
from labloop.journal.files import private_folder, write_whole

from . import kept
from .benches import not_simulated
from .check import check
from .clock import utc_stamp
from .seen_log import SEEN
from .sources import sources
from .wire_log import WIRE


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
    if complaints := [*plan.complaints, *([] if order.live else not_simulated(lab_spec))]:
        raise SpecError(*complaints)
    named = _named_files(spec, lab_spec)
    code = sources(lab_spec, simulators=mode != "live")
    path = run_folder(order)
    _refuse_used(path)
    private_folder(path)
    private_folder(path / "requests")
    blobs = Blobs(path / "blobs")
    files = {written: blobs.put(data) for written, data in named.items()}
    for name, text in ((kept.CAMPAIGN, spec.source), (kept.LAB, lab_spec.source)):
        blobs.put(text.encode())  # so that a copy that was changed can be shown, and put back
        write_whole(path / name, text.encode())
    origin = {"lab_folder": str(lab_spec.folder.resolve())}
    write_whole(path / kept.ORIGIN, json.dumps(origin).encode())
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
        code={name: blobs.put(data) for name, data in code.items()},
    )
    return folder, spec, lab_spec, opened


def _named_files(spec: CampaignSpec, lab_spec: LabSpec) -> dict[str, bytes]:
    """Every file that campaign and lab name. Raises SpecError when both say one path and mean two files."""
    named = {written: found.read_bytes() for written, found in spec.files.items()}
    for written, found in lab_spec.files.items():
        data = found.read_bytes()
        if named.setdefault(written, data) != data:
            raise SpecError(
                f"{written}: campaign and lab both name this file, and mean {spec.files[written]} and {found}, which "
                "differ. Rename one of them"
            )
    return named


def _refuse_used(path: Path) -> None:
    """A run makes its folder private to the user: it must be one of its own. Raises SpecError."""
    known = {kept.CAMPAIGN, kept.LAB, kept.ORIGIN, SEEN, WIRE, "blobs", "requests", "simulators"}
    known |= {"journal.db.lock", "runner.lock"}
    try:
        strange = sorted(one.name for one in path.iterdir() if one.name not in known and not _is_ours(one.name))
    except FileNotFoundError:
        return
    except OSError as error:
        raise SpecError(f"{path}: cannot be a run's folder ({error.strerror}). Give another with --run") from error
    if strange:
        raise SpecError(
            f"{path}: holds other things ({', '.join(strange[:3])}) and no run. Give a folder that is new, with --run"
        )


def _is_ours(name: str) -> bool:
    """What a beginning that was cut short, or the process that starts a run, leaves behind."""
    return name.startswith((".part-", "runner.", "log.", "journal.db", "planner.log"))


def rows(path: Path) -> int:
    """How far the journal of a run's folder has come. Raises StoreError."""
    with Reader(path / "journal.db") as reader:
        return reader.last_seq


def read(path: Path) -> tuple[RunFolder, CampaignSpec, LabSpec]:
    """Read a run's folder again. Raises StoreError, SpecError, StateError."""
    state, opened = _opened(path)
    spec = kept.kept_spec(path, state)
    lab_folder = kept.lab_folder(path)
    return RunFolder(path=path, lab_folder=lab_folder), spec, kept.kept_lab(path, opened, lab_folder)


def _opened(path: Path) -> tuple[CampaignState, e.CampaignOpened]:
    with Reader(path / "journal.db") as reader:
        state = fold(reader.records())
    if state.opened is None:
        raise StateError(f"{path}: the journal holds no campaign; begin again in another folder")
    if state.opened.mode == "told":
        raise StateError(f"{path}: this campaign is asked and told; use `labloop ask` and `labloop tell`")
    return state, state.opened


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


def refuse_other(path: Path, order: Order) -> None:
    """Raise SpecError when the folder holds another run than the one ordered: by files, mode, seed, speed, faults."""
    state, opened = _opened(path)
    kept.refuse_other_files(path, state, order.campaign, order.lab)
    given = {"seed": order.seed, "faults": order.faults, "speed": order.speed}
    began = {name: getattr(opened, name) for name in given}
    other = [f"{name} {began[name]}" for name, value in given.items() if value not in (None, began[name])]
    # Real instruments move only where somebody says live; who says nothing takes a virtual run as it is.
    if order.live != (opened.mode == "live") or (order.virtual and opened.mode != "virtual"):
        other.insert(0, f"mode {opened.mode}")
    if other:
        raise SpecError(
            f"{path}: holds a run that was begun with {', '.join(other)}, not as is asked now. Go on with it as it is: "
            f"`labloop resume {in_shell(path)}`, or give another folder with --run"
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
    """Log records as one JSON object a line. A full disk costs lines, which are counted, and never the run."""

    def __init__(self, path: Path) -> None:
        super().__init__(logging.INFO)
        self._path = path
        self._file: TextIO | None = path.open("a", encoding="utf-8")
        self._missed = 0

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
        if self._missed:
            line["missed"] = self._missed  # lines before this one that could not be written
        try:
            if self._file is None:  # a disk that takes nothing may not open it either
                self._file = self._path.open("a", encoding="utf-8")
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
        except OSError:
            self._missed += 1
            self._let_go()  # what a failed write left in the buffer would fail again
        else:
            self._missed = 0

    def _let_go(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.close()

    def close(self) -> None:
        """Close the file."""
        self._let_go()
        super().close()
