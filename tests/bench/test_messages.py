"""The ZMQ link: whole messages, deadlines, late and doubled answers, nobody there, a server that comes back."""

import errno
import threading
import time

import pytest
import zmq

from labloop.bench import LinkError, LinkInterrupted, LinkTimeout, ProtocolError, messages, open_link

# Long enough for whatever answers, however busy this computer is.
WITHIN_S = 30.0


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
    """A ROUTER in a thread that answers as ``script(frames)`` says: a list of messages; ``hello`` with the same."""

    def __init__(self, script, place=None):
        self.heard = []
        self._script = script
        self._socket = zmq.Context.instance().socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.bind(place or "tcp://127.0.0.1:*")
        self.place = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self):
        while not self._ended.is_set():
            if self._socket.poll(5):
                peer, *frames = self._socket.recv_multipart()
                self.heard.append(frames)
                for answer in [frames] if frames[1] == b"hello" else self._script(frames):
                    self._socket.send_multipart([peer, *answer])
        self._socket.close()

    def end(self):
        self._ended.set()
        self._thread.join()


@pytest.fixture
def serve():
    servers = []

    def make(script, place=None):
        server = Server(script, place)
        servers.append(server)
        return server

    yield make
    for server in servers:
        server.end()


def link_to(server):
    """A link that is connected: whatever is late on it is not the connection."""
    link = open_link(f"zmq+{server.place}?actor=N1.box")
    assert link.exchange(CountingCodec(), "hello", WITHIN_S) == "hello"
    return link


def test_messages_go_and_come_whole(serve):
    link = link_to(serve(lambda frames: [[frames[0], b"box"]]))
    assert link.exchange(CountingCodec(), "name", WITHIN_S) == "box"
    link.close()


def test_late_and_doubled_answers_are_passed_over(serve):
    answers = iter([[b"late"], [b"second", b"second"], [b"third"]])
    over = threading.Event()

    def script(frames):
        assert over.wait(WITHIN_S)
        return [[frames[0], word] for word in next(answers)]

    link = link_to(serve(script))
    codec = CountingCodec()
    with pytest.raises(LinkTimeout):
        link.exchange(codec, "name", 0.1)
    over.set()
    assert link.exchange(codec, "name", WITHIN_S) == "second"
    assert link.exchange(codec, "name", WITHIN_S) == "third"
    link.close()


def test_what_makes_no_sense_is_refused_and_the_next_answer_taken(serve):
    answers = iter([[b"a", b"b", b"c"], None])

    def script(frames):
        odd = next(answers)
        return [odd if odd else [frames[0], b"right"]]

    link = link_to(serve(script))
    codec = CountingCodec()
    with pytest.raises(ProtocolError, match="3 frames"):
        link.exchange(codec, "name", WITHIN_S)
    assert link.exchange(codec, "name", WITHIN_S) == "right"
    link.close()


def test_nobody_there_is_a_timed_error_and_nothing_is_kept_for_later(serve, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a hundred characters are all that such a name may have
    place = "ipc://box"  # a name of our own: nobody else can be there meanwhile
    link = open_link(f"zmq+{place}")
    codec = CountingCodec()
    with pytest.raises(LinkTimeout, match=r"box: nobody answers there: .*b'old command'. could not be sent"):
        link.exchange(codec, "old command", 0.2)
    server = serve(lambda frames: [[frames[0], b"box"]], place)
    assert link.exchange(codec, "name", WITHIN_S) == "box"
    assert [frames[1] for frames in server.heard] == [b"name"]
    link.close()


def test_interrupt_ends_a_waiting_exchange(serve):
    link = link_to(serve(lambda frames: []))
    link.traffic.clear()
    raised = []

    def ask():
        try:
            link.exchange(CountingCodec(), "name", 10 * WITHIN_S)
        except LinkInterrupted as error:
            raised.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    while not link.traffic:
        time.sleep(0.001)
    link.interrupt()
    thread.join(timeout=WITHIN_S)
    assert raised
    link.close()


def test_closing_never_hangs_on_what_was_not_sent():
    link = open_link("zmq+tcp://127.0.0.1:9")
    with pytest.raises(LinkTimeout):
        link.exchange(CountingCodec(), "name", 0.05)
    closing = threading.Thread(target=lambda: [link.close(), link.close()], daemon=True)
    closing.start()
    closing.join(timeout=WITHIN_S)
    assert not closing.is_alive()


def test_a_giant_frame_is_cut_off_and_the_next_answer_taken(serve, monkeypatch):
    monkeypatch.setattr(messages, "LARGEST", 1_000_000)
    answers = iter([bytes(2_000_000), b"box"])
    link = link_to(serve(lambda frames: [[frames[0], next(answers)]]))
    codec = CountingCodec()
    with pytest.raises(LinkTimeout, match="nothing came"):
        link.exchange(codec, "name", 0.3)
    assert link.exchange(codec, "name", WITHIN_S) == "box"
    link.close()


@pytest.mark.parametrize("odd", [[b"x"] * 10_000, [bytes(1000)] * 60], ids=["many frames", "many bytes"])
def test_a_message_of_more_than_an_instruments_is_refused_and_the_next_taken(serve, monkeypatch, odd):
    monkeypatch.setattr(messages, "LARGEST", 50_000)
    answers = iter([odd, None])

    def script(frames):
        more = next(answers)
        return [[frames[0], *(more or [b"box"])]]

    link = link_to(serve(script))
    codec = CountingCodec()
    with pytest.raises(ProtocolError, match="a message of more than 64 frames or 50000 bytes"):
        link.exchange(codec, "name", WITHIN_S)
    assert link.exchange(codec, "name", WITHIN_S) == "box"
    link.close()


@pytest.mark.parametrize("what", ["socket", "__init__"])
def test_a_line_that_cannot_be_begun_anew_is_lost_until_it_can(serve, monkeypatch, what):
    link, codec = link_to(serve(lambda frames: [frames])), CountingCodec()

    def refuse(*args, **options):
        raise zmq.ZMQError(errno.EMFILE)

    with monkeypatch.context() as patched:
        patched.setattr(messages.Context, what, refuse)
        for again in (link.reopen, lambda: link.exchange(codec, "name", 1.0)):
            with pytest.raises(LinkError, match=r"cannot connect .Too many open files"):
                again()
            assert link.lost
    link.reopen()
    assert link.exchange(codec, "hello", WITHIN_S) == "hello"
    link.close()
