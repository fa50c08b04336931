"""ZMQ links with keys: the same exchange for those let in, and for all others a refusal that names the keys, soon."""

import threading

import pytest
import zmq

from labloop.bench import LinkError, LinkTimeout, SpecError, messages, open_link, parse_address
from labloop.bench.declared import key_complaints
from labloop.keys import Context, Door, make_pair, protect_server, read_pair
from tests.bench.labs import make_lab
from tests.bench.test_messages import CountingCodec

# No refusal waits for it (it would be a LinkTimeout), however busy this computer is.
WITHIN_S = 60.0


class KeyedServer:
    """A ROUTER that answers ``box``, with a door, in a thread."""

    def __init__(self, folder, keyed=True):
        self.heard = []
        self._context = Context()
        self._router = self._context.socket(zmq.ROUTER)
        self._router.setsockopt(zmq.LINGER, 0)
        self._door = Door(self._context, folder / "allow") if keyed else None
        if keyed:
            protect_server(self._router, read_pair(folder / "server.key_secret"))
        self.port = self._router.bind_to_random_port("tcp://127.0.0.1")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self):
        while not self._ended.is_set():
            if self._door:
                self._door.answer()
            if self._router.poll(5):
                peer, *frames = self._router.recv_multipart()
                self.heard.append(frames)
                self._router.send_multipart([peer, frames[0], b"box"])
        self._router.close(0)
        if self._door:
            self._door.close()
        self._context.term()

    def end(self):
        self._ended.set()
        self._thread.join()


@pytest.fixture
def folder(tmp_path):
    for name in ("server", "me", "other"):
        make_pair(tmp_path, name)
    (tmp_path / "allow").mkdir(mode=0o700)
    (tmp_path / "allow" / "me.key").write_bytes((tmp_path / "me.key").read_bytes())
    return tmp_path


@pytest.fixture
def serve(folder):
    servers = []

    def start(keyed=True):
        servers.append(KeyedServer(folder, keyed))
        return servers[-1]

    yield start
    for server in servers:
        server.end()


def address(server, server_key="server.key", client_key="me.key_secret"):
    keys = f"?server_key={server_key}&client_key={client_key}" if server_key else ""
    return f"zmq+tcp://127.0.0.1:{server.port}{keys}"


def refusal(link):
    """What the link says instead of an answer, before the deadline."""
    with pytest.raises(LinkError) as caught:
        link.exchange(CountingCodec(), "name", WITHIN_S)
    assert not isinstance(caught.value, LinkTimeout)
    return str(caught.value)


def says_in_time(link, words):
    """Ask with a short deadline until the link says so: when it finds out is libzmq's affair."""
    codec = CountingCodec()
    for _ in range(round(WITHIN_S / 0.2)):
        with pytest.raises(LinkTimeout) as caught:
            link.exchange(codec, "name", 0.2)
        if words in str(caught.value):
            return
    raise AssertionError(f"it says {caught.value}")


def test_who_is_let_in_speaks_as_ever_and_key_files_lie_beside_the_lab_file(serve, folder):
    link = open_link(address(serve()), folder)
    codec = CountingCodec()
    assert [link.exchange(codec, "name", WITHIN_S) for _ in range(3)] == ["box"] * 3
    link.reopen()
    assert link.exchange(codec, "name", WITHIN_S) == "box"
    link.close()


def test_an_unknown_key_is_refused_by_name_and_nothing_is_heard(serve, folder):
    server = serve()
    link = open_link(address(server, client_key="other.key_secret"), folder)
    assert "does not let our key in (client_key=other.key_secret; it answered 400)" in refusal(link)
    assert "other.key" in refusal(link), "and again, at once: the link is lost until it is opened anew"
    assert server.heard == []
    (folder / "allow" / "other.key").write_bytes((folder / "other.key").read_bytes())
    link.reopen()
    assert link.exchange(CountingCodec(), "name", WITHIN_S) == "box"
    link.close()


def test_a_wrong_server_key_is_named(serve, folder):
    link = open_link(address(serve(), server_key="other.key"), folder)
    assert "its key is not the one in server_key=other.key" in refusal(link)
    link.close()


def test_a_wrong_server_key_is_named_also_when_the_deadline_comes_first(serve, folder, monkeypatch):
    monkeypatch.setattr(messages, "BROKEN_OFF", 10**6)
    link = open_link(address(serve(), server_key="other.key"), folder)
    says_in_time(link, "its key is not the one in server_key=other.key")
    link.close()


def test_a_key_file_that_is_away_when_the_line_is_begun_anew_loses_the_line_until_it_is_back(serve, folder):
    link = open_link(address(serve()), folder)
    key = (folder / "server.key").rename(folder / "away")
    for again in (link.reopen, lambda: link.exchange(CountingCodec(), "name", WITHIN_S)):
        with pytest.raises(LinkError, match=r"server\.key"):
            again()
    key.rename(folder / "server.key")
    link.reopen()
    assert link.exchange(CountingCodec(), "name", WITHIN_S) == "box"
    link.close()


def test_no_keys_where_some_are_asked_for_and_keys_where_none_are_known(serve, folder):
    plain = open_link(address(serve(), server_key=""), folder)
    said = refusal(plain)  # in one of two ways: libzmq is told why, or finds the connection closed before it was
    assert "asks for keys" in said and "Add server_key=FILE&client_key=FILE" in said
    keyed = open_link(address(serve(keyed=False)), folder)
    assert "knows no keys" in refusal(keyed)
    plain.close()
    keyed.close()


def test_a_server_that_is_away_is_waited_for_as_ever(serve, folder):
    server = serve()
    link = open_link(address(server), folder)
    codec = CountingCodec()
    assert link.exchange(codec, "name", WITHIN_S) == "box"
    server.end()
    says_in_time(link, "nobody answers there")
    link.close()


BEYOND = ["10.0.0.5:12300", "box:12300", "[fe80::1]:12300", "localhost.evil.org:1"]


@pytest.mark.parametrize("place", BEYOND)
def test_beyond_this_machine_only_with_keys(place):
    with pytest.raises(SpecError, match=r"ZMQ beyond this machine needs keys.*labloop keys.*ssh -L"):
        parse_address(f"zmq+tcp://{place}?actor=N1.box")
    assert parse_address(f"zmq+tcp://{place}?server_key=a.key&client_key=b.key_secret").options["server_key"] == "a.key"


@pytest.mark.parametrize("query", ["server_key=a.key", "client_key=b.key_secret", "server_key=a.key&client_key="])
@pytest.mark.parametrize("place", ["127.0.0.1:12300", "10.0.0.5:12300"])
def test_one_key_is_no_key(place, query):
    with pytest.raises(SpecError, match=r"without (server|client)_key. Add"):
        parse_address(f"zmq+tcp://{place}?{query}")


def test_only_zmq_over_tcp_knows_keys():
    with pytest.raises(SpecError, match="unknown key 'server_key'"):
        parse_address("tcp://10.0.0.5:1?server_key=a")


LAB = """
    labloop: 1
    instruments:
      box: {driver: DRIVER:Box, port: "zmq+tcp://10.0.0.5:12300?server_key=keys/s.key&client_key=keys/me.key_secret"}
"""


def test_a_live_check_reads_the_key_files_and_names_the_line(tmp_path):
    lab = make_lab(tmp_path, LAB)
    (complaint,) = key_complaints(lab)
    assert "lab.yaml:4:" in complaint and "keys/s.key: there is no such key" in complaint
    make_pair(tmp_path / "keys", "s")
    _, secret = make_pair(tmp_path / "keys", "me")
    assert key_complaints(lab) == []
    secret.chmod(0o644)
    (complaint,) = key_complaints(lab)
    assert "others may read this secret key" in complaint
