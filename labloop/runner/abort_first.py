"""An abort on its way to a living runner, before anything else is read from the disk.

What brings wishes to runs needs most of labloop, which takes half a second to be read; a bench that is to be made safe
waits for none of that. So a shell's abort lies in the inbox first, and is then brought there again under its id, which
is the same wish.
"""

from pathlib import Path
from typing import Final

from labloop.journal import StoreError, inbox, look

INBOX: Final = "requests"
LONGEST: Final = 1000  # characters of what is said beside an abort: nothing of that may keep it from being heard


def post(folder: Path, by: str, why: str) -> str:
    """Put an abort into the inbox of the run in ``folder`` if its runner lives; its id ("": it is not there yet)."""
    try:
        if look(folder) == "alive":
            return inbox.post(folder / INBOX, "abort", by=spoken(by), why=spoken(why))
    except (OSError, StoreError):  # whoever brings it next meets the same, and says so
        return ""
    return ""


def spoken(words: str) -> str:
    """What is said beside an abort, as an inbox takes it: no longer than that, and no bytes that are no text."""
    return words[:LONGEST].encode("utf-8", "replace").decode()
