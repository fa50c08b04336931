"""A node of LECO: a Coordinator whose only actors are our own. Frames in, frames out; no socket, no clock of its own.

LECO's control protocol (pymeasure/leco-protocol, control_protocol.md). A message after the socket's own identity:
version 00, receiver, sender, header (16 B conversation, 3 B message, 1 B type: 01 is JSON), JSON-RPC 2.0, more frames.

A method answers with a value, with WithFrames, or with a Future: then the answer leaves when it is there, and others
are heard meanwhile. What a component says to another component is not passed on, and there are no batches.
"""

import json
import math
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

from labloop.campaign.errors import LabloopError

VERSION: Final = b"\x00"
JSON_TYPE: Final = 1
HEADER: Final = 20
# A name stays its holder's while it is heard this often; after that another socket may take it (LECO: 10 s to 15 s).
TAKEN_FOR_S: Final = 15.0
# A laboratory has tens of components; what asks for more is no component.
MOST_COMPONENTS, MOST_WAITING, LONGEST_NAME = 1000, 1000, 200

PARSE_ERROR: Final = (-32700, "Parse error")
INVALID_REQUEST: Final = (-32600, "Invalid Request")
METHOD_NOT_FOUND: Final = (-32601, "Method not found")
INVALID_PARAMS: Final = (-32602, "Invalid params")
INTERNAL_ERROR: Final = (-32603, "Internal error")
SERVER_ERROR: Final = (-32000, "Server error")
NOT_SIGNED_IN: Final = (-32090, "You did not sign in!")
DUPLICATE_NAME: Final = (-32091, "The name is already taken.")
NODE_UNKNOWN: Final = (-32092, "Node is not known.")
RECEIVER_UNKNOWN: Final = (-32093, "Receiver is not in addresses list.")

Message = tuple[bytes, list[bytes]]


class Refused(Exception):
    """An answer that is an error: (code, message), and what stands in its ``data``."""

    def __init__(self, error: tuple[int, str], data: object = None) -> None:
        self.error, self.data = error, data
        super().__init__(error[1] if data is None else f"{error[1]}: {data}")


@dataclass(frozen=True, slots=True)
class WithFrames:
    """An answer with frames behind it."""

    value: Any
    frames: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks: the name that it signed in by, and whose key it came in with ("": no keys)."""

    name: str
    key: str = ""

    def __str__(self) -> str:
        return f"{self.name} (key {self.key})" if self.key else self.name


Method = Callable[[Asker, Mapping[str, Any]], Any]


@dataclass(slots=True)
class _Component:
    peer: bytes
    heard_s: float


@dataclass(frozen=True, slots=True)
class _Waiting:
    """An answer that is not there yet: for whom, and to what."""

    peer: bytes
    head: tuple[bytes, ...]
    request: Any
    future: "Future[Any]"


class Node:
    """Node ``namespace`` with actors of these names and methods."""

    def __init__(self, namespace: str, actors: Mapping[str, Mapping[str, Method]] | None = None) -> None:
        self.namespace = namespace.encode()
        self._full_name = self.namespace + b".COORDINATOR"
        self._actors: dict[bytes, dict[str, Method]] = {}
        self.take(actors or {})
        self._components: dict[bytes, _Component] = {}
        self._waiting: list[_Waiting] = []

    def take(self, actors: Mapping[str, Mapping[str, Method]]) -> None:
        """Have these actors from here on."""
        self._actors = {name.encode(): {"pong": _nothing, **methods} for name, methods in actors.items()}

    def receive(self, peer: bytes, key: str, frames: list[bytes], now_s: float) -> list[Message]:
        """Answers to a message of ``peer``, as far as they are there. What is no message of LECO is passed over."""
        if len(frames) < 4 or frames[0] != VERSION or len(frames[3]) != HEADER or len(frames[2]) > LONGEST_NAME:
            return []
        receiver, sender, header, content = frames[1], frames[2], frames[3], frames[4:]
        refusal = self._hear(peer, sender, receiver, content, now_s)
        if refusal is not None:
            return [self._error(peer, sender, header, refusal)]
        namespace, _, name = receiver.rpartition(b".")
        if namespace not in (b"", self.namespace):
            return [self._error(peer, sender, header, Refused(NODE_UNKNOWN, _text(namespace)))]
        if name == b"COORDINATOR":
            methods, answering = self._own_methods(peer, sender, now_s), self._full_name
        elif name in self._actors:
            methods, answering = self._actors[name], self.namespace + b"." + name
        else:
            return [self._error(peer, sender, header, Refused(RECEIVER_UNKNOWN, _text(receiver)))]
        if not content or header[19] != JSON_TYPE:
            return []  # a heartbeat
        head = (VERSION, sender, answering, header)
        return self._answer(peer, head, content[0], methods, Asker(_text(sender), key))

    def answers(self) -> list[Message]:
        """The answers that were waited for and are there now."""
        waiting, self._waiting, ready = self._waiting, [], list[_Waiting]()
        for one in waiting:  # each is asked once: its future may end at any moment
            (ready if one.future.done() else self._waiting).append(one)
        return [(one.peer, [*one.head, *_said(one.request, one.future.result)]) for one in ready]

    # --- who is signed in ---------------------------------------------------------------------------------------

    def _hear(self, peer: bytes, sender: bytes, receiver: bytes, content: list[bytes], now_s: float) -> Refused | None:
        namespace, _, name = sender.rpartition(b".")
        known = self._components.get(name) if namespace in (b"", self.namespace) else None
        signing = receiver in (b"COORDINATOR", self._full_name) and bool(content) and _signs(content[0])
        if known is not None and known.peer == peer:
            known.heard_s = now_s
        elif known is not None and now_s - known.heard_s <= TAKEN_FOR_S:
            return Refused(DUPLICATE_NAME)
        elif not signing or namespace not in (b"", self.namespace):
            return Refused(NOT_SIGNED_IN)
        return None

    def _own_methods(self, peer: bytes, sender: bytes, now_s: float) -> dict[str, Method]:
        name = sender.rpartition(b".")[2]

        def sign_in(asker: Asker, params: Mapping[str, Any]) -> None:
            if name in (b"", b"COORDINATOR") or name in self._actors:
                raise Refused(DUPLICATE_NAME)
            if len(self._components) >= MOST_COMPONENTS:
                late = [one for one, its in self._components.items() if now_s - its.heard_s > TAKEN_FOR_S]
                for one in late:
                    del self._components[one]
                if not late:
                    raise Refused(SERVER_ERROR, f"Full: {MOST_COMPONENTS} components are signed in")
            self._components[name] = _Component(peer, now_s)

        def sign_out(asker: Asker, params: Mapping[str, Any]) -> None:
            self._components.pop(name, None)

        def local(asker: Asker, params: Mapping[str, Any]) -> list[str]:
            return sorted(_text(one) for one in (*self._components, *self._actors))

        return {
            "sign_in": sign_in,
            "sign_out": sign_out,
            "pong": _nothing,
            "send_local_components": local,
            "send_global_components": lambda asker, params: {_text(self.namespace): local(asker, params)},
            "send_nodes": lambda asker, params: {_text(self.namespace): ""},
        }

    def _error(self, peer: bytes, sender: bytes, header: bytes, refusal: Refused) -> Message:
        header = header[:19] + bytes([JSON_TYPE])
        return peer, [VERSION, sender, self._full_name, header, _error_json(None, refusal)]

    # --- JSON-RPC -----------------------------------------------------------------------------------------------

    def _answer(
        self, peer: bytes, head: tuple[bytes, ...], content: bytes, methods: Mapping[str, Method], asker: Asker
    ) -> list[Message]:
        try:
            asked = json.loads(content)
        except (ValueError, RecursionError):
            return [(peer, [*head, _error_json(None, Refused(PARSE_ERROR))])]
        if isinstance(asked, dict) and "method" not in asked and ("result" in asked or "error" in asked):
            return []  # an answer to something that was never asked
        if not isinstance(asked, dict) or asked.get("jsonrpc") != "2.0" or not isinstance(asked.get("method"), str):
            return [(peer, [*head, _error_json(None, Refused(INVALID_REQUEST))])]
        request = asked.get("id")
        if isinstance(request, (dict, list)):
            return [(peer, [*head, _error_json(None, Refused(INVALID_REQUEST))])]

        def call() -> Any:
            return _call(asked["method"], asked.get("params", {}), methods, asker)

        try:
            value = call()
        except (LabloopError, Refused) as error:
            refusal = error if isinstance(error, Refused) else Refused(SERVER_ERROR, str(error))
            return [(peer, [*head, _error_json(request, refusal)])] if "id" in asked else []
        if "id" not in asked:
            return []
        if isinstance(value, Future):
            if len(self._waiting) >= MOST_WAITING:
                return [(peer, [*head, _error_json(request, Refused(SERVER_ERROR, "Busy: too much is asked at once"))])]
            self._waiting.append(_Waiting(peer, head, request, value))
            return []
        return [(peer, [*head, *_said(request, lambda: value)])]


def finite(value: Any) -> Any:
    """A value as JSON can say it: what is no finite number becomes null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(name): finite(one) for name, one in value.items()}
    return [finite(one) for one in value] if isinstance(value, (list, tuple)) else value


def _call(method: str, params: Any, methods: Mapping[str, Method], asker: Asker) -> Any:
    if method == "rpc.discover":
        names = [{"name": name} for name in sorted([*methods, "rpc.discover"])]
        return {"openrpc": "1.2.6", "info": {"title": "labloop", "version": "1.0"}, "methods": names}
    if method not in methods:
        raise Refused(METHOD_NOT_FOUND)
    if not isinstance(params, dict):
        raise Refused(INVALID_PARAMS, "TypeError: params must be an object")
    return methods[method](asker, params)


def _said(request: Any, result: Callable[[], Any]) -> list[bytes]:
    """The JSON of an answer, and the frames behind it."""
    try:
        value = result()
    except (LabloopError, Refused) as error:
        return [_error_json(request, error if isinstance(error, Refused) else Refused(SERVER_ERROR, str(error)))]
    frames: tuple[bytes, ...] = ()
    if isinstance(value, WithFrames):
        value, frames = value.value, value.frames
    return [json.dumps({"id": request, "result": finite(value), "jsonrpc": "2.0"}).encode(), *frames]


def _error_json(request: Any, refusal: Refused) -> bytes:
    error: dict[str, Any] = {"code": refusal.error[0], "message": refusal.error[1]}
    if refusal.data is not None:
        error["data"] = refusal.data
    return json.dumps({"id": finite(request), "error": error, "jsonrpc": "2.0"}).encode()


def _signs(content: bytes) -> bool:
    """Whether this is a wish to sign in or out: what is no JSON is refused later."""
    try:
        asked = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(asked, dict) and asked.get("method") in ("sign_in", "sign_out")


def _nothing(asker: Asker, params: Mapping[str, Any]) -> None:
    return None


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
