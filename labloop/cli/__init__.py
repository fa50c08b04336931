"""The command line: a door, and behind it one thin file per group of verbs.

Nothing heavy is imported here or at the top of the verbs' files: ``labloop --help`` answers before pydantic, numpy or
torch could have been read from the disk. A verb imports what it needs when it is called.
"""

from .app import main

__all__ = ["main"]
