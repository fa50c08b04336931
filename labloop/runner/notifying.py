"""A run and its notifier: started with the run, let go with it, and never waited for.

Nothing here can hurt a run: what fails is a line in its log.
"""

import logging
import subprocess
import sys
from pathlib import Path
from typing import Final

from labloop.campaign.spec import LabSpec
from labloop.planner.process import environment

from .notifier import told_of

LOG: Final = "notify.log"
_RUN: Final = logging.getLogger("labloop.run")


class Notifying:
    """The notifier of one run; there is none where the lab file wants nobody told of a run in this mode."""

    def __init__(self, folder: Path, lab: LabSpec, mode: str) -> None:
        self._folder = folder
        self._wanted = bool(told_of(lab, mode))
        self._notifier: subprocess.Popen[bytes] | None = None

    def start(self, after: int) -> None:
        """Start it; it tells of the facts behind number ``after``."""
        if not self._wanted:
            return
        try:
            with (self._folder / LOG).open("ab") as log:
                self._notifier = subprocess.Popen(
                    [
                        sys.executable, "-P", "-m", "labloop.runner.notifier", str(self._folder.resolve()),
                        "--after", str(after),
                    ],
                    stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True, env=environment(),
                )  # fmt: skip
        except OSError as error:
            _RUN.warning("nobody is told of this run: its notifier could not be started: %s", error)

    def close(self) -> None:
        """The run is over: the notifier tells the rest by itself and ends. Harmless twice."""
        notifier, self._notifier = self._notifier, None
        if notifier is not None and notifier.stdin is not None:
            notifier.stdin.close()
            notifier.poll()
