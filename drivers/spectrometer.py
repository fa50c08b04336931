"""The spectrometer of the shipped lab, behind ZMQ: an actor of LECO (Laboratory Experiment COntrol).

Sources: LECO's control protocol (five frames, JSON-RPC 2.0) and the instrument's own list of methods. What matters:

* A DEALER socket; before anything else it signs in at the Coordinator by a name of its own. A server that was started
  anew has forgotten it and says so (-32090): sign in again and repeat the question.
* Answers are matched by the conversation id, so one that comes late or twice is passed over.
* ``measure`` and ``rinse`` carry an id that the instrument remembers: a repeated id is answered, never done again, and
  ``last_act`` tells what became of it. So nothing here is ever in doubt.
* A spectrum comes as a frame of its own: float64 little-endian, all wavelengths in nm, then all absorbances; length and
  SHA-256 stand in the JSON.
"""

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from labloop.bench import (
    Action,
    Amount,
    Driver,
    Exchange,
    Expected,
    Identity,
    InstrumentFault,
    Progress,
    ProtocolError,
    Reading,
    Setting,
    Signal,
    SpecError,
    Value,
    Verdict,
    action,
    refuse_unknown,
    shown,
)

VERSION, JSON_TYPE = b"\x00", b"\x01"
NOT_SIGNED_IN, NAME_TAKEN = -32090, -32091
# The server answers at once, also while it measures; a second is a loaded machine's worst.
ANSWER_S = 2.0
OVERHEAD_S, RINSE_S, RINSE_ML = 0.05, 20.0, 2.0
# Faults that the instrument names with the first word of their data.
FAULTS = {"Busy": "busy", "LampOff": "lamp_off", "NotReady": "busy", "UnknownAct": "forgotten", "NoSpectrum": "no_data"}


@dataclass(frozen=True, slots=True)
class Call:
    """One JSON-RPC request. ``receiver``: who is asked, ``sender``: by whom."""

    receiver: str
    sender: str
    method: str
    params: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: a value, or the error's code, message and data; and the frames behind the JSON."""

    value: Any = None
    code: int = 0
    message: str = ""
    data: Any = None
    frames: tuple[bytes, ...] = ()


class LecoCodec:
    """LECO's frames: version, receiver, sender, 20 bytes of header, JSON, and what more there is."""

    def __init__(self) -> None:
        self._conversation = b""
        self._number = 0

    def encode(self, call: Call) -> list[bytes]:
        self._conversation = secrets.token_bytes(16)
        self._number += 1
        asked: dict[str, Any] = {"jsonrpc": "2.0", "id": self._number, "method": call.method}
        if call.params is not None:
            asked["params"] = dict(call.params)
        header = self._conversation + bytes(3) + JSON_TYPE
        return [VERSION, call.receiver.encode(), call.sender.encode(), header, json.dumps(asked).encode()]

    def expects_reply(self, call: Call) -> bool:
        return True

    def urgent(self, call: Call) -> bool:
        return bool(call.params) and call.params is not None and call.params.get("action") == "stop"

    def probe(self, call: Call) -> None:
        """Answers carry the conversation's id: none can be mistaken."""

    def reset(self) -> None:
        """A message comes whole or not at all."""

    def feed(self, data: bytes | list[bytes]) -> Answer | None:
        frames = [data] if isinstance(data, bytes) else data
        if len(frames) < 4 or len(frames[3]) != 20:
            raise ProtocolError(f"not a message of LECO: {shown(frames)}")
        if frames[3][:16] != self._conversation or len(frames) < 5:
            return None  # somebody else's, too late, or a heartbeat
        if frames[0] != VERSION or frames[3][19:] != JSON_TYPE:
            raise ProtocolError(f"a version or a type of message that is not known: {shown(frames[:4])}")
        try:
            said = json.loads(frames[4])
        except (ValueError, RecursionError) as error:
            raise ProtocolError(f"not JSON: {shown(frames[4])}") from error
        if not isinstance(said, dict):
            raise ProtocolError(f"not a JSON-RPC answer: {shown(frames[4])}")
        if said.get("id") == self._number and "result" in said:
            return Answer(value=said["result"], frames=tuple(frames[5:]))
        wrong = said.get("error")
        # A Coordinator that refuses to pass a message on does not read its id.
        if said.get("id") in (self._number, None) and isinstance(wrong, dict) and isinstance(wrong.get("code"), int):
            return Answer(code=wrong["code"], message=str(wrong.get("message", "")), data=wrong.get("data"))
        raise ProtocolError(f"not a JSON-RPC answer to request {self._number}: {shown(frames[4])}")


INTEGRATION = Setting(
    name="integration", argument="integration_ms", unit="ms", low=1.0, high=10_000.0, default=100.0, required=False,
    doc="exposure",
)  # fmt: skip
SPECTRUM = Signal(name="spectrum", array=True, doc="n wavelengths (nm), then n absorbances")
EVIDENCE = "the instrument remembers its acts by their ids"


class Spectrometer(Driver):
    """A fibre spectrometer as a LECO actor. The port's address names it: ``?actor=N1.spectrometer``."""

    kind = "LECO spectrometer"
    signals = (
        Signal(name="state", doc="idle, measuring or rinsing"),
        Signal(name="lamp", doc="on or off"),
        Signal(name="waste", unit="mL", doc="rinsed into the waste so far"),
    )

    def __init__(self, exchange: Exchange, **options: Any) -> None:
        super().__init__(exchange, **options)
        actors = parse_qs(urlsplit(exchange.address).query).get("actor", [""])
        self._actor = str(options.get("actor", "")) or actors[0]
        if "." not in self._actor:
            raise SpecError(f"port {exchange.address!r} names no actor; write it as ...?actor=N1.spectrometer")
        self._codec = LecoCodec()
        self._name = _name()
        self._begun = ""

    @classmethod
    def declare(cls, options: Mapping[str, Any]) -> dict[str, Action]:
        """The actions. Raises SpecError for options that are not known."""
        refuse_unknown(options, ("actor",), cls.__name__)
        return super().declare(options)

    @classmethod
    def expected(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> Expected:
        """The exposure, or the rinse."""
        if action == "measure":
            return Expected(duration_s=float(values["integration_ms"]) / 1000.0 + OVERHEAD_S)
        return Expected(duration_s=RINSE_S, achieved={"waste": Amount(RINSE_ML, "mL")})

    @classmethod
    def watchdog(cls, options: Mapping[str, Any]) -> str:
        """A measurement and a rinse end by themselves."""
        return "the instrument itself: a rinse ends by itself"

    def open(self) -> Identity:
        """Sign in, and ask who it is."""
        self._sign_in()
        said = self._parameters("serial_number", "model", "firmware")
        return Identity(
            model=str(said["model"]), firmware=str(said["firmware"]), serial=str(said["serial_number"]),
            first_reply=repr(said),
        )  # fmt: skip

    def read(self) -> Mapping[str, Reading]:
        """State, lamp and waste now."""
        said = self._parameters("state", "lamp", "waste_ml")
        return {
            "state": Reading(value=str(said["state"])),
            "lamp": Reading(value=str(said["lamp"])),
            "waste": Reading(value=_finite(said["waste_ml"]), unit="mL"),
        }

    @action(INTEGRATION, gives=(SPECTRUM,), repeatable=True, evidence=EVIDENCE)
    def measure(self, integration_ms: float) -> None:
        """Take a spectrum with an exposure in ms (1 to 10000)."""
        self._begin("measure", {"integration_time_ms": integration_ms})

    @action(act=True, repeatable=True, evidence=EVIDENCE)
    def rinse(self) -> None:
        """Wash the sample out of the cell (20 s, 2 mL into the waste)."""
        self._begin("rinse", {})

    def progress(self, elapsed_s: float) -> Progress:
        """Ask for the act that was begun; fetch the spectrum when it is done. Raises InstrumentFault when cut short."""
        report = self._last(_act_id(self.act))
        if report is None:
            raise InstrumentFault("it does not know the act that it began", kind="forgotten")
        if report["state"] == "running":
            left_s = _finite(report["duration_s"]) - _finite(report["elapsed_s"])
            return Progress(done=False, again_in_s=min(max(left_s, 0.05), 5.0))
        if report["state"] != "done":
            raise InstrumentFault(f"its {self._begun} was stopped", kind="stopped")
        if self._begun == "rinse":
            return Progress(done=True, achieved=_waste(report))
        integration = Amount(_finite(report["result"].get("integration_time_ms")), "ms")
        return Progress(
            done=True,
            achieved={"integration": integration},
            readings={"spectrum": Reading()},
            arrays={"spectrum": self._spectrum()},
        )

    def happened(self, action: str, settings: Mapping[str, Amount], before: Mapping[str, Amount], act: str) -> Verdict:
        """Ask what became of the act with this id."""
        report = self._last(_act_id(act))
        if report is None:
            return Verdict(state="not_begun", why="it knows no act of this id")
        achieved = _waste(report) if action == "rinse" else {}
        states = {
            "running": Verdict(state="running", why="it is at it"),
            "done": Verdict(state="done", why="it remembers the act as done", achieved=achieved),
            "stopped": Verdict(state="partial", why="it remembers the act as stopped", achieved=achieved),
        }
        return states[report["state"]]

    def stop(self) -> None:
        """Cut short what runs; harmless twice."""
        self._action("stop")

    def close(self) -> None:
        """Sign out."""
        self._ask(Call("COORDINATOR", self._sender, "sign_out"))

    # --- how it is said -----------------------------------------------------------------------------------------

    @property
    def _sender(self) -> str:
        return f"{self._actor.rpartition('.')[0]}.{self._name}"

    def _begin(self, kind: str, kwargs: Mapping[str, Any]) -> None:
        self._begun = kind
        _report(self._action(kind, act=_act_id(self.act), **kwargs))

    def _last(self, act: str) -> dict[str, Any] | None:
        said = self._action("last_act", act=act).value
        return None if said is None else _report(Answer(value=said))

    def _spectrum(self) -> bytes:
        answer = self._action("spectrum", act=_act_id(self.act))
        said = answer.value if isinstance(answer.value, dict) else {}
        if len(answer.frames) != 1:
            raise ProtocolError(f"a spectrum in {len(answer.frames)} frames, where one was due")
        data = answer.frames[0]
        if said.get("length") != len(data) or said.get("sha256") != hashlib.sha256(data).hexdigest():
            raise ProtocolError(
                f"a spectrum of {len(data)} bytes is not the one announced: {shown(repr(said).encode())}"
            )
        points = said.get("wavelengths")
        if not isinstance(points, int) or points < 2 or len(data) != 16 * points:
            raise ProtocolError(f"a spectrum of {len(data)} bytes for {points!r} wavelengths")
        return data

    def _parameters(self, *names: str) -> dict[str, Any]:
        said = self._ask(Call(self._actor, self._sender, "get_parameters", {"parameters": list(names)})).value
        if not isinstance(said, dict) or set(said) != set(names):
            raise ProtocolError(f"get_parameters {', '.join(names)} was answered with {shown(repr(said).encode())}")
        return said

    def _action(self, name: str, **kwargs: Any) -> Answer:
        params: dict[str, Any] = {"action": name}
        if kwargs:
            params["kwargs"] = kwargs
        return self._ask(Call(self._actor, self._sender, "call_action", params))

    def _ask(self, call: Call) -> Answer:
        answer = self._exchange(call)
        if answer.code == NOT_SIGNED_IN:
            self._sign_in()
            answer = self._exchange(Call(call.receiver, self._sender, call.method, call.params))
        return _believe(call, answer)

    def _sign_in(self) -> None:
        answer = self._exchange(Call("COORDINATOR", self._name, "sign_in"))
        if answer.code == NAME_TAKEN:
            self._name = _name()
            answer = self._exchange(Call("COORDINATOR", self._name, "sign_in"))
        _believe(Call("COORDINATOR", self._name, "sign_in"), answer)

    def _exchange(self, call: Call) -> Answer:
        answer: Answer = self.exchange(self._codec, call, ANSWER_S)
        return answer


def _believe(call: Call, answer: Answer) -> Answer:
    if not answer.code:
        return answer
    data = "" if answer.data is None else f": {answer.data}"
    kind = FAULTS.get(str(answer.data).partition(":")[0], "refused")
    what = call.params.get("action", call.method) if call.params else call.method
    raise InstrumentFault(f"{what} at {call.receiver}: {answer.message} ({answer.code}){data}", kind=kind)


def _report(answer: Answer) -> dict[str, Any]:
    """A report of an act, with the keys that it must have."""
    said = answer.value
    if not isinstance(said, dict) or said.get("state") not in ("running", "done", "stopped"):
        raise ProtocolError(f"not a report of an act: {shown(repr(said).encode())}")
    for name in ("elapsed_s", "duration_s"):
        _finite(said.get(name))
    if said["state"] == "done" and not isinstance(said.get("result"), dict):
        raise ProtocolError(f"a report of an act without its result: {shown(repr(said).encode())}")
    return said


def _waste(report: Mapping[str, Any]) -> dict[str, Amount]:
    found = report.get("result")
    return {"waste": Amount(_finite(found.get("waste_ml")), "mL")} if isinstance(found, dict) else {}


def _finite(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e300:
        raise ProtocolError(f"{value!r} where a number was due")
    return float(value)


def _act_id(act: str) -> str:
    """The instrument takes ids of 32 hex digits; the act's own name may be anything."""
    return hashlib.sha256(act.encode()).hexdigest()[:32]


def _name() -> str:
    """A name that no other process has: a runner that was started anew is somebody else to the Coordinator."""
    return f"labloop-{secrets.token_hex(4)}"
