"""Key files: made once, private, read with suspicion; and what counts as this machine."""

import os
import stat

import pytest
import zmq
import zmq.auth

from labloop.keys import KeyFileError, is_local, make_pair, read_pair, read_public


def test_a_pair_is_made_private_and_pyzmq_reads_it(tmp_path):
    public, secret = make_pair(tmp_path / "keys", "box")
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert stat.S_IMODE(secret.parent.stat().st_mode) == 0o700
    pair = read_pair(secret)
    assert zmq.curve_public(pair.secret) == pair.public == read_public(public) == read_public(secret)
    assert zmq.auth.load_certificate(secret) == (pair.public, pair.secret)
    assert pair.secret.decode() not in public.read_text()
    assert pair.secret.decode() not in repr(pair)


def test_a_pair_that_pyzmq_made_is_read(tmp_path):
    _, secret = zmq.auth.create_certificates(tmp_path, "theirs")
    os.chmod(secret, 0o600)
    pair = read_pair(tmp_path / "theirs.key_secret")
    assert zmq.auth.load_certificate(secret) == (pair.public, pair.secret)
    assert read_public(tmp_path / "theirs.key") == pair.public


@pytest.mark.parametrize("there", ["box.key", "box.key_secret"])
def test_a_key_is_never_replaced(tmp_path, there):
    (tmp_path / there).write_text("precious")
    with pytest.raises(KeyFileError, match=f"{there}: is there already"):
        make_pair(tmp_path, "box")
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "precious"


@pytest.mark.parametrize("name", ["", "../box", "a/b", "a\nb", "-x", "x" * 65])
def test_a_name_is_no_path(tmp_path, name):
    with pytest.raises(KeyFileError, match="is no name of a key"):
        make_pair(tmp_path / "keys", name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_secret_that_others_may_read_is_refused(tmp_path, mode):
    _, secret = make_pair(tmp_path, "box")
    secret.chmod(mode)
    with pytest.raises(KeyFileError, match=r"others may read this secret key.*chmod 600"):
        read_pair(secret)


def test_a_link_is_as_private_as_what_it_points_at(tmp_path):
    _, secret = make_pair(tmp_path, "box")
    link = tmp_path / "link.key_secret"
    link.symlink_to(secret)
    assert read_pair(link) == read_pair(secret)
    secret.chmod(0o644)
    with pytest.raises(KeyFileError, match="others may read"):
        read_pair(link)


KEY = "a" * 40


@pytest.mark.parametrize(
    "text",
    [
        "",
        'public-key = "short"\n',
        f'public-key = "{KEY}a"\n',
        f'public-key = "{KEY}"\npublic-key = "{KEY}"\n',
        f'public-key = "{KEY[:-1]}\\"\n',
        f'# public-key = "{KEY}"\n',
        "\x00" * 200,
        f'public-key = "{KEY}"\n' + "#" * 10_000,
    ],
    ids=["empty", "short", "long", "twice", "not Z85", "a comment", "NUL", "too long a file"],
)
def test_what_is_no_key_is_refused(tmp_path, text):
    path = tmp_path / "odd.key"
    path.write_text(text)
    with pytest.raises(KeyFileError, match=r"odd\.key: (holds no public key|is longer than)"):
        read_public(path)


def test_a_pipe_a_folder_and_nothing_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.key")
    with pytest.raises(KeyFileError, match="no plain file"):
        read_public(tmp_path / "pipe.key")
    with pytest.raises(KeyFileError):
        read_public(tmp_path)
    with pytest.raises(KeyFileError, match=r"there is no such key. Make one with `labloop keys"):
        read_public(tmp_path / "none.key")


def test_the_public_file_is_no_pair(tmp_path):
    public, _ = make_pair(tmp_path, "box")
    public.chmod(0o600)
    with pytest.raises(KeyFileError, match=r"holds no secret key\. Name the file that ends with .key_secret"):
        read_pair(public)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.8.9.10", "::1", "[::1]"])
def test_what_is_this_machine(host):
    assert is_local(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "10.0.0.5", "box", "localhost.evil.org", "127.0.0.1.evil.org", "*", "::", "", "0", "2130706433"]
)
def test_what_is_not(host):
    assert not is_local(host)
