"""A ZMQ context that may be forgotten."""

import zmq


class Context(zmq.Context["zmq.Socket[bytes]"]):
    """Closed by whoever made it, with its sockets. Forgotten, it stays open.

    zmq's own would wait in the garbage collector until its sockets are closed, and these may be in the same heap of
    forgotten things: then the whole process stands still.
    """

    def __del__(self) -> None:
        """Wait for nothing."""
