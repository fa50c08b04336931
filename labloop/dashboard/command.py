"""labloop's own command line, asked from the dashboard: what a watching process may not do itself."""

import os
import subprocess
import sys


def labloop(*arguments: str) -> tuple[int, str]:
    """Run one command to its end; its exit code, and what it said. Never in the thread that draws."""
    said = subprocess.run(
        [sys.executable, "-P", "-m", "labloop", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False, env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip
    words = (said.stdout + said.stderr).strip()
    return said.returncode, words or f"ended with exit code {said.returncode}"
