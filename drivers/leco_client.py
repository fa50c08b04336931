"""LECO's wire as a driver speaks it: frames, JSON-RPC, and an actor that is asked by name.

Source: LECO's control protocol (pymeasure/leco-protocol) and pyleco 0.6.0. What matters:

* Five frames: version, receiver, sender, header (16 B conversation, 3 B message, 1 B type), JSON-RPC 2.0; more may
  follow.
* Before anything else one signs in at the Coordinator, by a name of one's own. A Coordinator that was started anew, or
  has not heard of us for long, has forgotten it and says so (-32090): sign in again and repeat the question.
* Answers are matched by the conversation's id, so one that comes late or twice is passed over.
"""

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from labloop.bench import (
    Exchange,
    Identity,
    InstrumentFault,
    LinkError,
    LinkTimeout,
    ProtocolError,
    SpecError,
    shown,
)

VERSION, JSON_TYPE = b"\x00", b"\x01"
NOT_SIGNED_IN, NAME_TAKEN = -32090, -32091
NOT_THERE = (-32092, -32093)  # its node, or itself


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


class LecoClient:
    """One actor, asked through its Coordinator. ``faults``: first words of an error's data, and what kind each is."""

    def __init__(
        self, exchange: Exchange, actor: str, answer_s: float, faults: Mapping[str, str] | None = None
    ) -> None:
        self.actor = actor
        self._exchange, self._answer_s, self._faults = exchange, answer_s, faults or {}
        self._codec = LecoCodec()
        self._name = _name()

    def sign_in(self) -> None:
        """Say who we are. Raises InstrumentFault when the Coordinator wants us not."""
        answer = self._said(Call("COORDINATOR", self._name, "sign_in"))
        if answer.code == NAME_TAKEN:
            self._name = _name()
            answer = self._said(Call("COORDINATOR", self._name, "sign_in"))
        self._believe(Call("COORDINATOR", self._name, "sign_in"), answer)

    def sign_out(self) -> None:
        """Say goodbye."""
        self.ask("sign_out", receiver="COORDINATOR")

    def ask(
        self, method: str, params: Mapping[str, Any] | None = None, *, within_s: float = 0.0, receiver: str = ""
    ) -> Answer:
        """One question (to the actor, if nobody else is named). Raises InstrumentFault when it is refused."""
        call = Call(receiver or self.actor, self._sender, method, params)
        answer = self._said(call, within_s)
        if answer.code in (NOT_SIGNED_IN, NAME_TAKEN):  # the second: our line was away, and is another one now
            self.sign_in()
            call = Call(call.receiver, self._sender, method, params)
            answer = self._said(call, within_s)
        return self._believe(call, answer)

    def parameters(self, *names: str) -> dict[str, Any]:
        """The actor's parameters of these names."""
        said = self.ask("get_parameters", {"parameters": list(names)}).value
        if not isinstance(said, dict) or set(said) != set(names):
            raise ProtocolError(f"get_parameters {', '.join(names)} was answered with {shown(repr(said).encode())}")
        return said

    def set_parameters(self, values: Mapping[str, Any]) -> None:
        """Set parameters of the actor."""
        self.ask("set_parameters", {"parameters": dict(values)})

    def call(self, action: str, kwargs: Mapping[str, Any] | None = None, within_s: float = 0.0) -> Answer:
        """Call an action of the actor."""
        params: dict[str, Any] = {"action": action}
        if kwargs:
            params["kwargs"] = dict(kwargs)
        return self.ask("call_action", params, within_s=within_s)

    @property
    def _sender(self) -> str:
        return f"{self.actor.rpartition('.')[0]}.{self._name}"

    def _said(self, call: Call, within_s: float = 0.0) -> Answer:
        answer: Answer = self._exchange(self._codec, call, within_s or self._answer_s)
        return answer

    def _believe(self, call: Call, answer: Answer) -> Answer:
        if not answer.code:
            return answer
        data = "" if answer.data is None else f": {answer.data}"
        kind = self._faults.get(str(answer.data).partition(":")[0], "refused")
        what = call.params.get("action", call.method) if call.params else call.method
        if answer.code in NOT_THERE:  # its program has ended, and may come back
            raise LinkTimeout(f"{what} at {call.receiver}: {answer.message} ({answer.code}){data}")
        raise InstrumentFault(f"{what} at {call.receiver}: {answer.message} ({answer.code}){data}", kind=kind)


def actor_of(options: Mapping[str, Any], address: str) -> str:
    """The actor's full name, from the options or the port's address. Raises SpecError when neither says it."""
    actor = str(options.get("actor", "")) or parse_qs(urlsplit(address).query).get("actor", [""])[0]
    if "." not in actor:
        raise SpecError(f"port {address!r} names no actor; write it as ...?actor=N1.spectrometer")
    return actor


def report_of(said: Any) -> dict[str, Any]:
    """A report of an act, with the keys that it must have: act, state, elapsed_s, duration_s, result. ProtocolError."""
    if not isinstance(said, dict) or said.get("state") not in ("running", "done", "stopped", "unknown"):
        raise ProtocolError(f"not a report of an act: {shown(repr(said).encode())}")
    for name in ("elapsed_s", "duration_s"):
        finite(said.get(name))
    if said["state"] == "done" and not isinstance(said.get("result"), dict):
        raise ProtocolError(f"a report of an act without its result: {shown(repr(said).encode())}")
    return said


def array_of(answer: Answer) -> bytes:
    """The one frame behind an answer that says how long it is, and its SHA-256. Raises ProtocolError."""
    said = answer.value if isinstance(answer.value, dict) else {}
    if len(answer.frames) != 1:
        raise ProtocolError(f"an array in {len(answer.frames)} frames, where one was due")
    data = answer.frames[0]
    if said.get("length") != len(data) or said.get("sha256") != hashlib.sha256(data).hexdigest():
        raise ProtocolError(f"an array of {len(data)} bytes is not the one announced: {shown(repr(said).encode())}")
    return data


def refuse_another(actor: str, was: Identity, now: Identity) -> None:
    """Raise LinkError where another answers by an actor's name than when the line was opened.

    The actor's own connection is not ours: when it ended, and another actor took its name, no line of ours was lost.
    So who it is is asked with each act; then the line is opened again, as any that was lost.
    """
    if not now.is_still(was.model, was.serial):
        one, other = (" ".join(filter(None, (who.model, who.serial))) for who in (now, was))
        raise LinkError(f"{one} answers at {actor} where {other} was")


def act_id(act: str) -> str:
    """Actors that remember acts take ids of 32 hex digits; the act's own name may be anything."""
    return hashlib.sha256(act.encode()).hexdigest()[:32]


def finite(value: Any) -> float:
    """A number out of JSON. Raises ProtocolError for what is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e300:
        raise ProtocolError(f"{value!r} where a number was due")
    return float(value)


def _name() -> str:
    """A name that no other process has: a runner that was started anew is somebody else to the Coordinator."""
    return f"labloop-{secrets.token_hex(4)}"
