"""Who may speak over ZMQ beyond this machine: keys in files, and the list of those who are let in."""

from .context import Context
from .door import Door, Visit, protect_client, protect_server
from .pairs import KeyFileError, Pair, make_pair, read_pair, read_public
from .places import is_local

__all__ = [
    "Context", "Door", "KeyFileError", "Pair", "Visit", "is_local", "make_pair", "protect_client", "protect_server",
    "read_pair", "read_public",
]  # fmt: skip
