"""The ZMQ link: whole messages, deadlines, late and doubled answers, nobody there, a server that comes back."""

import socket
import threading
import time

import pytest
import zmq

from labloop.bench import LinkInterrupted, LinkTimeout, ProtocolError, messages, open_link


class CountingCodec:
    """``[id, word]`` -> ``[id, answer]``; answers of other ids are passed over."""

    def __init__(self):
        self._id = 0

    def encode(self, command):
        self._id += 1
        return [b"%d" % self._id, command.encode()]

    def expects_reply(self, command):
        return True

    def urgent(self, command):
        return False

    def probe(self, command):
        return None

    def reset(self):
        pass

    def feed(self, data):
        if len(data) != 2:
            raise ProtocolError(f"{len(data)} frames")
        return data[1].decode() if data[0] == b"%d" % self._id else None


class Server:
    """A ROUTER in a thread that answers as ``script(frames)`` says: a list of (delay_s, frames)."""

    def __init__(self, script, port=None):
        self.heard = []
        self._script = script
        self._socket = zmq.Context.instance().socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self.port = port or self._socket.bind_to_random_port("tcp://127.0.0.1")
        if port:
            self._socket.bind(f"tcp://127.0.0.1:{port}")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self):
        sending = []
        while not self._ended.is_set():
            if self._socket.poll(5):
                peer, *frames = self._socket.recv_multipart()
                self.heard.append(frames)
                sending += [(time.monotonic() + delay_s, [peer, *answer]) for delay_s, answer in self._script(frames)]
            for one in [one for one in sending if one[0] <= time.monotonic()]:
                sending.remove(one)
                self._socket.send_multipart(one[1])
        self._socket.close()

    def end(self):
        self._ended.set()
        self._thread.join()


@pytest.fixture
def serve():
    servers = []

    def make(script, port=None):
        server = Server(script, port)
        servers.append(server)
        return server

    yield make
    for server in servers:
        server.end()


def link_to(server):
    return open_link(f"zmq+tcp://127.0.0.1:{server.port}?actor=N1.box")


def test_messages_go_and_come_whole(serve):
    link = link_to(serve(lambda frames: [(0.0, [frames[0], b"box"])]))
    assert link.exchange(CountingCodec(), "name", 1.0) == "box"
    link.close()


def test_late_and_doubled_answers_are_passed_over(serve):
    answers = iter([[(0.25, b"late")], [(0.0, b"second"), (0.0, b"second")], [(0.0, b"third")]])
    link = link_to(serve(lambda frames: [(delay_s, [frames[0], word]) for delay_s, word in next(answers)]))
    codec = CountingCodec()
    with pytest.raises(LinkTimeout):
        link.exchange(codec, "name", 0.1)
    assert link.exchange(codec, "name", 1.0) == "second"
    assert link.exchange(codec, "name", 1.0) == "third"
    link.close()


def test_what_makes_no_sense_is_refused_and_the_next_answer_taken(serve):
    answers = iter([[b"a", b"b", b"c"], None])

    def script(frames):
        odd = next(answers)
        return [(0.0, odd if odd else [frames[0], b"right"])]

    link = link_to(serve(script))
    codec = CountingCodec()
    with pytest.raises(ProtocolError, match="3 frames"):
        link.exchange(codec, "name", 1.0)
    assert link.exchange(codec, "name", 1.0) == "right"
    link.close()


def test_nobody_there_is_a_timed_error_and_nothing_is_kept_for_later(serve):
    # Bound and not listening: every call is refused at once, and nobody else can take the port meanwhile.
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
        link = open_link(f"zmq+tcp://127.0.0.1:{port}")
        codec = CountingCodec()
        with pytest.raises(LinkTimeout, match="nobody answers there"):
            link.exchange(codec, "old command", 0.2)
    server = serve(lambda frames: [(0.0, [frames[0], b"box"])], port)
    assert link.exchange(codec, "name", 5.0) == "box"
    assert [frames[1] for frames in server.heard] == [b"name"]
    link.close()


def test_interrupt_ends_a_waiting_exchange(serve):
    link = link_to(serve(lambda frames: []))
    raised = []

    def ask():
        try:
            link.exchange(CountingCodec(), "name", 30.0)
        except LinkInterrupted as error:
            raised.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    while not link.traffic:
        time.sleep(0.001)
    began = time.monotonic()
    link.interrupt()
    thread.join(timeout=5.0)
    assert raised and time.monotonic() - began < 0.15
    link.close()


def test_closing_never_hangs_on_what_was_not_sent():
    link = open_link("zmq+tcp://127.0.0.1:9")
    with pytest.raises(LinkTimeout):
        link.exchange(CountingCodec(), "name", 0.05)
    began = time.monotonic()
    link.close()
    link.close()
    assert time.monotonic() - began < 0.5


def test_a_giant_frame_is_cut_off_and_the_next_answer_taken(serve, monkeypatch):
    monkeypatch.setattr(messages, "LARGEST", 1_000_000)
    answers = iter([bytes(2_000_000), b"box"])
    link = link_to(serve(lambda frames: [(0.0, [frames[0], next(answers)])]))
    codec = CountingCodec()
    with pytest.raises(LinkTimeout, match="nothing came"):
        link.exchange(codec, "name", 0.3)
    assert link.exchange(codec, "name", 5.0) == "box"
    link.close()


@pytest.mark.parametrize("odd", [[b"x"] * 10_000, [bytes(1000)] * 60], ids=["many frames", "many bytes"])
def test_a_message_of_more_than_an_instruments_is_refused_and_the_next_taken(serve, monkeypatch, odd):
    monkeypatch.setattr(messages, "LARGEST", 50_000)
    answers = iter([odd, None])

    def script(frames):
        more = next(answers)
        return [(0.0, [frames[0], *(more or [b"box"])])]

    link = link_to(serve(script))
    codec = CountingCodec()
    with pytest.raises(ProtocolError, match="a message of more than 64 frames or 50000 bytes"):
        link.exchange(codec, "name", 5.0)
    assert link.exchange(codec, "name", 5.0) == "box"
    link.close()
