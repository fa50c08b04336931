"""The lab file: the instruments, their limits, the safe state; and whether a campaign fits a lab.

Keys of an instrument beside ``driver``, ``simulator``, ``port``, ``serial``, ``stock`` and ``simulation`` are its
driver's own and stay as written.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, PrivateAttr, WithJsonSchema, field_validator, model_validator

from .arithmetic import difference
from .checks import stage_faults
from .complaints import Broken, Fault
from .conduct import Pause, Phase
from .constraints import nearly_named
from .errors import SpecError
from .grammar import PHASES, CampaignSpec, flat_parameters
from .limits import Limit, by_instrument, read_limits
from .models import AnyQuantity, Files, Model, Number, Rule, Seconds, Text, Truth, did_you_mean, keys_of, suggest
from .reading import Document, Path_, path_text
from .rules import TABLES, Ruled, instruments_of
from .steps import Stage, read_phase, resolved, steps_of
from .targets import Target, refuse_address
from .text import duration
from .units import Quantity, quote
from .values import PERSON

SCHEMES = ("serial", "rfc2217", "tcp", "zmq+tcp", "zmq+ipc", "sim")
_IMPORT = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*")
_NAME = re.compile(r"[^\W\d][\w-]{0,79}")


class InstrumentSpec(Model):
    """One instrument: the driver that speaks with it, the simulator that stands for it, and the port.

    ``serial``: the serial number it must tell; another one is refused. ``simulation``: what only the simulator reads
    (the load on a pan, the resistance at the terminals).
    """

    model_config = ConfigDict(extra="allow", frozen=True, arbitrary_types_allowed=True)

    driver: Text
    simulator: Text | None = None
    port: Text | None = None
    serial: Text | None = None
    stock: AnyQuantity | None = None
    simulation: dict[str, Any] = {}

    @property
    def options(self) -> dict[str, Any]:
        """The driver's own keys, as written."""
        return dict(self.model_extra or {})

    @field_validator("driver", "simulator")
    @classmethod
    def _import(cls, name: str | None) -> str | None:
        if name is not None and _IMPORT.fullmatch(name) is None:
            raise Rule("must name a class. Write module.path:Class, like drivers.ika:RCT")
        return name

    @field_validator("port")
    @classmethod
    def _port(cls, port: str | None) -> str | None:
        if port is None:
            return None
        scheme, colon, rest = port.partition(":")
        if not colon or scheme not in SCHEMES:
            raise Rule(f"must be an address like serial:///dev/ttyUSB0?baud=9600. {did_you_mean(scheme, SCHEMES)}")
        if scheme != "sim" and not rest.startswith("//"):
            raise Rule(f"needs two strokes after the colon. Write {scheme}://{rest.lstrip('/')}")
        try:
            urlsplit(port).port  # noqa: B018  (reading it checks the number)
        except ValueError as error:
            raise Rule(f"is no address ({error}). Write it like tcp://127.0.0.1:5000") from None
        return port

    @field_validator("serial")
    @classmethod
    def _serial(cls, serial: str | None) -> str | None:
        if serial is not None and not serial.strip():
            raise Rule("must be a serial number, as it stands on the instrument's plate. Write it, or leave serial out")
        return serial

    @field_validator("stock")
    @classmethod
    def _stock(cls, stock: Quantity | None) -> Quantity | None:
        if stock is not None and (stock.value < 0 or not stock.unit):
            raise Rule("must be an amount with its unit, not below 0. Write it like 10 mL")
        return stock

    @model_validator(mode="after")
    def _options(self) -> "InstrumentSpec":
        for key in self.model_extra or {}:
            close = suggest(key, keys_of(InstrumentSpec), cutoff=0.85)
            if close:
                raise Rule(f"{key} is no key of an instrument. Did you mean {close}?")
        return self


class Simulation(Model):
    """How a simulated run goes: ``speed`` times faster than the clock."""

    speed: Number = 1.0

    @field_validator("speed")
    @classmethod
    def _speed(cls, speed: float) -> float:
        if not 0 < speed <= 1e6:
            raise Rule("must be above 0, up to 1000000")
        return speed


class OnLost(Model):
    """What is done about an instrument that does not answer: how long its line is tried, and what then.

    ``retry_for`` is time on the wall, at any speed. The default outlasts a hub that comes back, a plug that was pulled
    by mistake, and an instrument that starts again; what is away for longer is for a person.
    """

    retry_for_s: Annotated[Seconds, Field(alias="retry_for")] = 30.0
    then: Literal["stop", "pause"] = "stop"


class LabSpec(Ruled):
    """A lab, read and checked. Fields are the keys of the file; see docs/yaml.md."""

    labloop: Literal[1] = 1
    name: Text = "lab"
    instruments: dict[str, InstrumentSpec] = {}
    limits_written: Annotated[
        tuple[Limit, ...], Field(alias="limits"), WithJsonSchema({"anyOf": [{"type": "object"}, {"type": "array"}]})
    ] = ()
    safe_state: Phase = ()
    keep: tuple[str, ...] = ()
    sample: dict[str, Any] = {}
    on_lost: OnLost = OnLost()
    pause: Pause | None = None
    samples: Literal["one_at_a_time", "pipelined"] = "one_at_a_time"
    notify: dict[str, Target] = {}
    simulation: Simulation = Simulation()
    simulated: Truth = False
    speed_written: Annotated[Number | None, Field(alias="speed")] = None
    root_written: Annotated[Text | None, Field(alias="root")] = None
    refills_written: Annotated[Text | None, Field(alias="refills")] = None

    _document: Document = PrivateAttr(default_factory=lambda: Document({}))
    _files: Files = PrivateAttr(default_factory=lambda: Files(Path()))
    _WHERE: ClassVar[tuple[str, ...]] = ("drivers", "simulators")

    @property
    def speed(self) -> float:
        """How much faster than the clock simulated instruments go (``speed``, else ``simulation.speed``)."""
        return self.simulation.speed if self.speed_written is None else self.speed_written

    @property
    def refills(self) -> Path | None:
        """Where `labloop simulate` takes up what a person says was refilled (None: these are no simulators of it)."""
        if not self.simulated or self.refills_written is None:
            return None
        return self.folder.resolve() / self.refills_written

    @property
    def limits(self) -> dict[str, dict[str, Limit]]:
        """The limits that always hold, by instrument and name."""
        return by_instrument(self.limits_written)

    @property
    def pipelined(self) -> bool:
        """Whether samples move on by themselves, so that an instrument is free after its last step for a trial."""
        return self.samples == "pipelined"

    @property
    def folder(self) -> Path:
        """The lab file's folder, where relative paths start."""
        return self._files.folder

    @property
    def root(self) -> Path:
        """``root``, else the nearest folder at or above the lab file with drivers/ or simulators/, else its own."""
        folder = self.folder.resolve()
        if self.root_written is not None:
            return (folder / self.root_written).resolve()
        for place in (folder, *folder.parents):
            if any((place / name).is_dir() for name in self._WHERE):
                return place
        return folder

    @property
    def source(self) -> str:
        """The exact text of the file (empty when it came from a dict)."""
        return self._document.text

    @property
    def files(self) -> dict[str, Path]:
        """Every file named, by the path as written."""
        return dict(self._files.named)

    def file(self, written: str) -> Path:
        """The file that a path as written means."""
        return self._files.named.get(written, self._files.folder / written)

    def made_from(self, document: Document, files: Files) -> "LabSpec":
        """Remember the document and the files this was read from."""
        self._document, self._files = document, files
        return self

    def place(self, path: str | Path_, key: bool = False) -> str:
        """Say where a value (or its key) is written: ``file:line:column``; the path itself when it came from a dict."""
        if isinstance(path, str):
            texts = {path_text(known): known for known in self._document.values}
            path = texts.get(path, tuple(part for part in path.split(".") if part))
        return self._document.place(path, key) or path_text(path)

    def named(self, path: Path_) -> str:
        """Begin a complaint with where a value is written, and with its path, once."""
        place, name = self._document.place(path), path_text(path)
        return f"{place}: {name}" if place else name

    def complaint(self, path: Path_, rule: str) -> str:
        """Write a complaint about what stands at ``path``, as reading the file does."""
        return self._document.complaint(path, rule)

    def dump(self) -> dict[str, Any]:
        """The lab as plain JSON values: ``lab_from_dict`` makes the same of it in this folder."""
        return dict(self._document.value)

    @field_validator("labloop", mode="plain")
    @classmethod
    def _version(cls, raw: Any) -> int:
        if raw != 1 or isinstance(raw, bool):
            raise Rule("is a version of the file's grammar that is not known here. Write labloop: 1")
        return 1

    @field_validator("limits_written", mode="plain")
    @classmethod
    def _limits(cls, raw: Any) -> tuple[Limit, ...]:
        return read_limits(raw, ("limits",))

    @field_validator("safe_state", mode="plain")
    @classmethod
    def _safe_state(cls, raw: Any) -> tuple[Stage, ...]:
        return resolved(read_phase(raw, ("safe_state",)), ())

    @field_validator("notify", mode="before")
    @classmethod
    def _notify(cls, raw: Any) -> Any:
        if not isinstance(raw, dict):
            refuse_address(raw)
        return raw

    @field_validator("sample", mode="after")
    @classmethod
    def _sample(cls, raw: dict[str, Any], info: Any) -> dict[str, Any]:
        files = (info.context or {}).get("files")
        response = raw.get("response")
        if isinstance(files, Files) and isinstance(response, str):
            files.find(response)
        return raw

    @field_validator("root_written")
    @classmethod
    def _root(cls, raw: str | None, info: Any) -> str | None:
        files = (info.context or {}).get("files")
        if raw is not None and isinstance(files, Files) and not (files.folder / raw).is_dir():
            raise Rule("is no folder. Name the folder that holds drivers/ and simulators/")
        return raw

    @field_validator("speed_written")
    @classmethod
    def _speed(cls, speed: float | None) -> float | None:
        if speed is not None and not 0 < speed <= 1e6:
            raise Rule("must be above 0, up to 1000000")
        return speed


def check_lab(lab: LabSpec, broken: Broken) -> list[Fault]:
    """What shows only when the parts of a lab file are seen together."""
    faults: list[Fault] = []
    known = [
        *lab.instruments,
        *(str(path[1]) for path in broken.paths if path[:1] == ("instruments",) and len(path) > 1),
    ]
    if not known and not broken.touches("instruments"):
        faults.append((("instruments",), "is missing. Write instruments: {pump: {driver: ...}}", False))
    for name in lab.instruments:
        if _NAME.fullmatch(name) is None:
            faults.append((("instruments", name), "is no name. Use letters, digits, _ and -, a letter first", True))
    for name in lab.notify:
        if _NAME.fullmatch(name) is None:
            faults.append((("notify", name), "is no name. Use letters, digits, _ and -, a letter first", True))
    if ("instruments",) in broken.paths:
        return faults
    for limit in lab.limits_written:
        if limit.instrument not in known:
            faults.append(
                (limit.path, f"{limit.instrument} is no instrument. {did_you_mean(limit.instrument, known)}", False)
            )
    for at, name in enumerate(lab.keep):
        instrument, _, _ = name.partition(".")
        if instrument not in known:
            faults.append((("keep", at), f"{instrument} is no instrument. {did_you_mean(instrument, known)}", False))
    for path, instrument in instruments_of(lab):
        if instrument not in known:
            faults.append((path, f"{instrument} is no instrument. {did_you_mean(instrument, known)}", False))
    for step in steps_of(lab.safe_state):
        if step.instrument not in known:
            faults.append(
                (step.path, f"{step.instrument} is no instrument. {did_you_mean(step.instrument, known)}", True)
            )
    faults += stage_faults(lab.safe_state, {}, "safe_state")
    addresses: dict[tuple[Any, Any], str] = {}
    for name, one in lab.instruments.items():
        key = one.port, str(one.options.get("address"))
        if one.port is None or one.port == "sim:":
            continue
        if key in addresses:
            rule = f"{addresses[key]} has the same port and address. Give each instrument an address of its own"
            faults.append((("instruments", name), rule, True))
        addresses[key] = name
    return faults


def check_against_lab(spec: CampaignSpec, lab: LabSpec) -> list[str]:
    """Every complaint that shows when campaign and lab are seen together; empty when they fit."""
    complaints = [spec.complaint(path, rule, key=True) for path, rule in _unknown_instruments(spec, lab)]
    for path, instrument in instruments_of(spec):
        if instrument not in lab.instruments:
            rule = f"{instrument} is no instrument of the lab. {did_you_mean(instrument, lab.instruments)}"
            complaints.append(spec.complaint(path, rule))
    for table in TABLES:
        for name in sorted(getattr(spec, table).keys() & getattr(lab, table).keys()):
            rule = f"is a rule of the lab already ({lab.place((table, name), key=True)}). Give yours a name of its own"
            complaints.append(spec.complaint((table, name), rule, key=True))
    if spec.pause is not None and lab.pause is not None and spec.pause.hold_s > lab.pause.hold_s:
        rule = (
            f"is longer than the lab's {duration(lab.pause.hold_s)} ({lab.place(('pause', 'hold'))}). A campaign may "
            "only shorten it"
        )
        complaints.append(spec.complaint(("pause", "hold"), rule))
    for limit in spec.limits:
        if limit.instrument not in lab.instruments:
            rule = f"{limit.instrument} is no instrument of the lab. {did_you_mean(limit.instrument, lab.instruments)}"
            complaints.append(spec.complaint(limit.path, rule))
            continue
        known = lab.limits.get(limit.instrument, {}).get(limit.name)
        if known is not None:
            complaints += [spec.complaint(limit.path, rule) for rule in _loosened(limit, known, lab)]
    for whose, limits in ((lab, lab.limits_written), (spec, spec.limits)):
        for limit in limits:
            rules = nearly_named(limit.when, flat_parameters(spec.parameters)) if limit.when is not None else ()
            complaints += [whose.complaint(limit.path, rule) for rule in rules]
    return complaints


def _unknown_instruments(spec: CampaignSpec, lab: LabSpec) -> Iterator[tuple[Path_, str]]:
    for phase in (*PHASES, *(f"every.{index}" for index in range(len(spec.every)))):
        for step in steps_of(spec.steps_of(phase)):
            if step.instrument not in lab.instruments and step.instrument != PERSON:
                way_out = did_you_mean(step.instrument, lab.instruments)
                yield step.path, f"{quote(step.instrument)} is no instrument of the lab {lab.name}. {way_out}"


def _loosened(limit: Limit, known: Limit, lab: LabSpec) -> Iterator[str]:
    for name, sign in (("stale_after", 1.0), ("dwell", -1.0)):
        wished_s, allowed_s = getattr(limit, f"{name}_s"), getattr(known, f"{name}_s")
        if wished_s is not None and allowed_s is not None and sign * (wished_s - allowed_s) > 0:
            place = lab.place((*known.path, name))
            yield (
                f"{name} = {wished_s:g} s is looser than the lab's {allowed_s:g} s ({place}). A campaign may only "
                "tighten it"
            )
    for name, sign in (("max", 1.0), ("min", -1.0), ("rate", 1.0)):
        wished, allowed = getattr(limit, name), getattr(known, name)
        if wished is None or allowed is None:
            continue
        try:
            looser = sign * difference(wished, allowed).value > 0
        except SpecError as error:
            yield f"{name} = {wished}: {error}"
            continue
        if looser:
            place = lab.place((*known.path, name))
            yield f"{name} = {wished} is looser than the lab's {allowed} ({place}). A campaign may only tighten it"
