"""The door of a CURVE server: only keys on the list, read anew for each who knocks, and closed when nobody keeps it."""

import time

import pytest
import zmq
from zmq.utils.monitor import parse_monitor_message

from labloop.keys import Context, Door, KeyFileError, make_pair, protect_client, protect_server, read_pair, read_public


class Lab:
    """A ROUTER with a door, polled by hand, and keys for it and two clients."""

    def __init__(self, folder):
        self.folder = folder
        self.allow = folder / "allow"
        self.allow.mkdir(mode=0o700)
        for name in ("server", "ann", "bob"):
            make_pair(folder / "keys", name)
        self.let_in("ann")
        self.context = Context()
        self.door = None
        self.router = self.context.socket(zmq.ROUTER)
        protect_server(self.router, self.pair("server"))
        self.port = self.router.bind_to_random_port("tcp://127.0.0.1")

    def pair(self, name):
        return read_pair(self.folder / "keys" / f"{name}.key_secret")

    def let_in(self, name):
        (self.allow / f"{name}.key").write_bytes((self.folder / "keys" / f"{name}.key").read_bytes())

    def keep_door(self):
        self.door = Door(self.context, self.allow)

    def knock(self, name, within_s=60.0, server="server"):
        """ "in", or the number that the client was told (a handshake that is broken off: 0)."""
        context = Context()
        client = context.socket(zmq.DEALER)
        client.setsockopt(zmq.LINGER, 0)
        if name:
            protect_client(client, read_public(self.folder / "keys" / f"{server}.key"), self.pair(name))
        monitor = client.get_monitor_socket(zmq.EVENT_ALL)
        client.connect(f"tcp://127.0.0.1:{self.port}")
        came, visits = None, []
        end_s = time.monotonic() + within_s
        while came is None and time.monotonic() < end_s:
            visits += self.door.answer() if self.door else []
            if monitor.poll(10):
                said = parse_monitor_message(monitor.recv_multipart())
                if said["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                    came = "in"
                elif said["event"] & (zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL):
                    came = int(said["value"])
                elif said["event"] == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL:
                    came = 0
        client.disable_monitor()
        client.close(0)
        context.destroy(0)
        return came, visits

    def close(self):
        if self.door:
            self.door.close()
        self.router.close(0)
        self.context.destroy(0)


@pytest.fixture
def lab(tmp_path):
    lab = Lab(tmp_path)
    yield lab
    lab.close()


def test_who_is_on_the_list_comes_in_by_name(lab):
    lab.keep_door()
    came, visits = lab.knock("ann")
    assert came == "in"
    assert [(one.name, one.address, one.public) for one in visits] == [("ann", "127.0.0.1", lab.pair("ann").public)]


def test_an_unknown_key_is_refused_and_told_so(lab):
    lab.keep_door()
    came, visits = lab.knock("bob")
    assert came == 400
    assert visits and {one.name for one in visits} == {""} and visits[0].public == lab.pair("bob").public


def test_a_plain_client_and_a_wrong_server_key_do_not_even_get_to_the_door(lab):
    lab.keep_door()
    assert lab.knock(None) in [(0, []), (zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH, [])]
    assert lab.knock("ann", server="bob") == (0, [])


def test_the_list_is_read_anew_for_each_who_knocks(lab):
    lab.keep_door()
    lab.let_in("bob")
    assert lab.knock("bob")[0] == "in"
    (lab.allow / "bob.key").unlink()
    assert lab.knock("bob")[0] == 400


def test_a_file_that_is_no_key_keeps_nobody_out(lab):
    lab.keep_door()
    (lab.allow / "aaa.key").write_text("nonsense")
    assert lab.knock("ann")[0] == "in"
    assert lab.knock("bob")[0] == 400


def test_a_door_that_nobody_keeps_is_closed(lab):
    assert lab.knock("ann", within_s=0.5)[0] != "in"


def test_a_list_that_others_may_write_lets_nobody_in(lab):
    lab.keep_door()
    lab.allow.chmod(0o777)
    assert lab.knock("ann")[0] == 400


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda allow: (allow / "ann.key").unlink(), "no public key"),
        (lambda allow: (allow / "ann.key").write_text("nonsense"), r"ann\.key: holds no public key"),
        (lambda allow: allow.chmod(0o770), "others may put keys there"),
    ],
)
def test_a_list_that_is_not_right_from_the_start_is_refused(lab, spoil, why):
    spoil(lab.allow)
    with pytest.raises(KeyFileError, match=why):
        Door(lab.context, lab.allow)
    with pytest.raises(KeyFileError, match="is no folder"):
        Door(lab.context, lab.folder / "nowhere")
