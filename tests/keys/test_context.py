"""What is forgotten with its sockets open does not stop the process."""

import subprocess
import sys

FORGOTTEN = """
import gc, zmq
from labloop.keys import Context

class Holder:
    def __init__(self):
        self.context = Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.me = self

Holder()
gc.collect()
print("collected")
"""


def test_a_context_that_is_forgotten_with_its_socket_is_waited_for_by_nobody() -> None:
    done = subprocess.run([sys.executable, "-c", FORGOTTEN], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "collected\n" and done.returncode == 0, done.stderr
