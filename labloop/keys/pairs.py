"""Pairs of CURVE keys in files, as pyzmq and CZMQ write them.

    name.key           the public half: to be given to the other side
    name.key_secret    both halves: never leaves this machine, and is its user's alone (0600)

Both are short texts with ``public-key = "..."`` and ``secret-key = "..."``, 40 characters of Z85 each. Nothing else of
such a file is read. A secret that others may read is refused, as ssh does.
"""

import os
import re
import stat
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import zmq

PUBLIC: Final = ".key"
SECRET: Final = ".key_secret"
LONGEST: Final = 10_000  # bytes; what pyzmq writes has 400, with room for a person's comments

_LINE: Final = re.compile(r'^[ \t]*(public|secret)-key[ \t]*=[ \t]*"([^"\n]*)"[ \t]*$', re.M)
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_Z85: Final = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")


class KeyFileError(ValueError):
    """A key file that is not there, is no key, or is open to others; the message names the way out."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Both halves, in Z85. The secret never shows in a message."""

    public: bytes
    secret: bytes = field(repr=False)


def make_pair(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a new pair in ``folder``, replacing nothing; gives the public and the secret file. Raises KeyFileError."""
    if _NAME.fullmatch(name) is None:
        raise KeyFileError(f"{name!r:.80} is no name of a key. Use letters, digits, _ and -, at most 64")
    public_file, secret_file = folder / f"{name}{PUBLIC}", folder / f"{name}{SECRET}"
    there = [str(path) for path in (public_file, secret_file) if path.exists() or path.is_symlink()]
    if there:
        raise KeyFileError(f"{there[0]}: is there already. Choose another name, or take it away first")
    public, secret = (half.decode() for half in zmq.curve_keypair())
    words = f'metadata\n    name = "{name}"\ncurve\n    public-key = "{public}"\n'
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(secret_file, f'{words}    secret-key = "{secret}"\n', 0o600)
        _write(public_file, words, 0o644)
    except OSError as error:
        raise KeyFileError(f"{folder}: cannot be written ({error.strerror}). Choose another folder") from error
    return public_file, secret_file


def read_public(path: Path) -> bytes:
    """Read the public half out of either file. Raises KeyFileError."""
    return _half(path, _read(path)[0], "public")


def read_pair(path: Path) -> Pair:
    """Read both halves out of a secret file. Raises KeyFileError, also when somebody else may read it."""
    text, status = _read(path)
    pair = Pair(public=_half(path, text, "public"), secret=_half(path, text, "secret"))
    _refuse_open(path, status)
    return pair


def _half(path: Path, text: str, which: str) -> bytes:
    found: list[str] = [value for half, value in _LINE.findall(text) if half == which]
    if len(found) != 1 or _Z85.fullmatch(found[0]) is None:
        way_out = (
            f"Name the file that ends with {SECRET}"
            if which == "secret" and path.suffix == PUBLIC
            else "Make one with `labloop keys NAME`"
        )
        raise KeyFileError(f"{path}: holds no {which} key. {way_out}")
    return found[0].encode()


def _read(path: Path) -> tuple[str, os.stat_result]:
    """The text of a plain, short file, and whose it is (of a link: what it points at)."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # a pipe in its place must not hold us up
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise KeyFileError(f"{path}: is no plain file. Name a file that `labloop keys NAME` made")
            data = file.read(LONGEST + 1)
    except FileNotFoundError:
        raise KeyFileError(f"{path}: there is no such key. Make one with `labloop keys NAME`") from None
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be read ({error.strerror}). Check its permissions") from error
    if len(data) > LONGEST:
        raise KeyFileError(f"{path}: is longer than {LONGEST} bytes, so it is no key. Name another file")
    return data.decode("utf-8", "replace"), status


def _refuse_open(path: Path, status: os.stat_result) -> None:
    if sys.platform == "win32":  # its permissions do not show in the mode
        return
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise KeyFileError(
            f"{path}: others may read this secret key (mode {stat.S_IMODE(status.st_mode):04o}). "
            f"Close it: chmod 600 {path}; if others could reach it, make a new pair"
        )
    if status.st_uid not in (os.geteuid(), 0):
        raise KeyFileError(f"{path}: belongs to another user (uid {status.st_uid}). Make a pair of your own")


def _write(path: Path, text: str, mode: int) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(handle)
