"""LECO (Laboratory Experiment COntrol) as a small Coordinator speaks it: frames, JSON-RPC and who is signed in.

From the published protocol (pymeasure/leco-protocol, control_protocol.md). Frames of a message after the socket's own
identity: version 00, receiver, sender, header (16 B conversation, 3 B message, 1 B type, 01 = JSON), content, more.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

VERSION = b"\x00"
JSON_TYPE = 1
TAKEN_FOR_S = 15.0  # A name stays its holder's while it is heard this often; after that another socket may take it.

Message = tuple[bytes, list[bytes]]

PARSE_ERROR = (-32700, "Parse error")
INVALID_REQUEST = (-32600, "Invalid Request")
METHOD_NOT_FOUND = (-32601, "Method not found")
INVALID_PARAMS = (-32602, "Invalid params")
INTERNAL_ERROR = (-32603, "Internal error")
SERVER_ERROR = (-32000, "Server error")
NOT_SIGNED_IN = (-32090, "You did not sign in!")
DUPLICATE_NAME = (-32091, "The name is already taken.")
NODE_UNKNOWN = (-32092, "Node is not known.")
RECEIVER_UNKNOWN = (-32093, "Receiver is not in addresses list.")


class Refused(Exception):
    """An answer that is an error: (code, message) and what stands in ``data``."""

    def __init__(self, error: tuple[int, str], data: object = None) -> None:
        self.error, self.data = error, data
        super().__init__(error[1])


@dataclass(frozen=True, slots=True)
class WithFrames:
    """An answer with additional frames."""

    value: Any
    frames: tuple[bytes, ...]


Method = Callable[[dict[str, Any]], Any]


@dataclass(slots=True)
class _Component:
    peer: bytes
    heard_s: float


class Coordinator:
    """Node ``namespace``, with one actor of its own. ``speed``: of the clock against the wall."""

    def __init__(self, namespace: str, actor: str, methods: Mapping[str, Method], speed: float) -> None:
        self.namespace, self.actor = namespace.encode(), actor.encode()
        self.full_name = self.namespace + b".COORDINATOR"
        self._methods = dict(methods) | {"pong": _nothing}
        self._components: dict[bytes, _Component] = {}
        self._taken_for_s = TAKEN_FOR_S * speed

    def receive(self, peer: bytes, frames: list[bytes], now_s: float) -> list[Message]:
        if len(frames) < 4 or frames[0] != VERSION or len(frames[3]) != 20:
            return []
        receiver, sender, header, content = frames[1], frames[2], frames[3], frames[4:]
        refusal = self._hear(peer, sender, content, now_s)
        if refusal is not None:
            return [self._error(peer, sender, header, refusal)]
        namespace, _, name = receiver.rpartition(b".")
        if namespace not in (b"", self.namespace):
            return [
                self._error(peer, sender, header, Refused(NODE_UNKNOWN, namespace.decode("utf-8", "backslashreplace")))
            ]
        if name == b"COORDINATOR":
            methods, answering = self._own_methods(peer, sender, now_s), self.full_name
        elif name == self.actor:
            methods, answering = self._methods, self.namespace + b"." + self.actor
        elif name in self._components:
            return [(self._components[name].peer, list(frames))]
        else:
            unknown = Refused(RECEIVER_UNKNOWN, receiver.decode("utf-8", "backslashreplace"))
            return [self._error(peer, sender, header, unknown)]
        if not content or header[19] != JSON_TYPE:
            return []
        return [(peer, [VERSION, sender, answering, header, *answer]) for answer in _answer_json(content[0], methods)]

    def forget(self) -> None:
        """Nobody is signed in any more."""
        self._components.clear()

    def _hear(self, peer: bytes, sender: bytes, content: list[bytes], now_s: float) -> Refused | None:
        namespace, _, name = sender.rpartition(b".")
        known = self._components.get(name) if namespace in (b"", self.namespace) else None
        signing = bool(content) and (b'"sign_in"' in content[0] or b'"sign_out"' in content[0])
        if known is not None and known.peer == peer:
            known.heard_s = now_s
        elif known is not None and now_s - known.heard_s <= self._taken_for_s:
            return Refused(DUPLICATE_NAME)
        elif not signing or namespace not in (b"", self.namespace):
            return Refused(NOT_SIGNED_IN)
        return None

    def _error(self, peer: bytes, sender: bytes, header: bytes, refusal: Refused) -> Message:
        header = header[:19] + bytes([JSON_TYPE])
        return peer, [VERSION, sender, self.full_name, header, _error_json(None, refusal)]

    def _own_methods(self, peer: bytes, sender: bytes, now_s: float) -> dict[str, Method]:
        name = sender.rpartition(b".")[2]

        def sign_in(params: dict[str, Any]) -> None:
            if name in (b"", b"COORDINATOR", self.actor):
                raise Refused(DUPLICATE_NAME)
            self._components[name] = _Component(peer, now_s)

        def sign_out(params: dict[str, Any]) -> None:
            self._components.pop(name, None)

        def local(params: dict[str, Any]) -> list[str]:
            names = [*self._components, self.actor]
            return sorted(each.decode("utf-8", "backslashreplace") for each in names)

        return {
            "sign_in": sign_in,
            "sign_out": sign_out,
            "pong": _nothing,
            "send_local_components": local,
            "send_global_components": lambda params: {self.namespace.decode(): local(params)},
            "send_nodes": lambda params: {self.namespace.decode(): ""},
        }


def _nothing(params: dict[str, Any]) -> None:
    return None


def _answer_json(content: bytes, methods: Mapping[str, Method]) -> list[list[bytes]]:
    """The frames of the answer, or none for a notification."""
    try:
        asked = json.loads(content)
    except (ValueError, RecursionError):
        return [[_error_json(None, Refused(PARSE_ERROR))]]
    if isinstance(asked, list):
        if not asked:
            return [[_error_json(None, Refused(INVALID_REQUEST))]]
        answers = [answer for each in asked if (answer := _answer_one(each, methods)) is not None]
        frames = [frame for _, more in answers for frame in more]
        return [[b"[" + b",".join(body for body, _ in answers) + b"]", *frames]] if answers else []
    answer = _answer_one(asked, methods)
    return [[answer[0], *answer[1]]] if answer is not None else []


def _answer_one(asked: Any, methods: Mapping[str, Method]) -> tuple[bytes, tuple[bytes, ...]] | None:
    if isinstance(asked, dict) and "method" not in asked and ("result" in asked or "error" in asked):
        return None  # An answer to something that was never asked.
    if not isinstance(asked, dict) or asked.get("jsonrpc") != "2.0" or not isinstance(asked.get("method"), str):
        return _error_json(None, Refused(INVALID_REQUEST)), ()
    frames: tuple[bytes, ...] = ()
    request_id = asked.get("id")
    try:
        value = _call(asked["method"], asked.get("params", {}), methods)
        if isinstance(value, WithFrames):
            value, frames = value.value, value.frames
        body = json.dumps({"id": request_id, "result": value, "jsonrpc": "2.0"}).encode()
    except Refused as refusal:
        body = _error_json(request_id, refusal)
    return (body, frames) if "id" in asked else None


def _call(method: str, params: Any, methods: Mapping[str, Method]) -> Any:
    if method == "rpc.discover":
        names = [{"name": name} for name in sorted([*methods, "rpc.discover"])]
        return {"openrpc": "1.2.6", "info": {"title": "Z0", "version": "1.0"}, "methods": names}
    if method not in methods:
        raise Refused(METHOD_NOT_FOUND)
    if not isinstance(params, dict):
        raise Refused(INVALID_PARAMS, "TypeError: params must be an object")
    return methods[method](params)


def _error_json(request_id: Any, refusal: Refused) -> bytes:
    error: dict[str, Any] = {"code": refusal.error[0], "message": refusal.error[1]}
    if refusal.data is not None:
        error["data"] = refusal.data
    return json.dumps({"id": request_id, "error": error, "jsonrpc": "2.0"}).encode()
