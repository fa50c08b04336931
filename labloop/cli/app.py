"""The door: verbs by name, and every error turned into what a person reads and an exit code.

A complaint of ours (LabloopError) ends with its message on stderr and its code, never with a traceback. Anything
else is a defect: its traceback stays, and says that it is one.
"""

import errno
import gc
import os
import re
import sys
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from labloop import __version__
from labloop.campaign.errors import LabloopError

from . import (
    amend,
    ask,
    backtest,
    bench,
    check,
    exits,
    instruments,
    new,
    notify,
    prefer,
    read,
    replay,
    request,
    run,
    why,
    words,
)

DEFECT = (
    "This is a defect of labloop, not of your files or your bench. Please report it with the lines above. A campaign is"
    " safe: its journal holds every fact up to here, and `labloop resume RUN` goes on from it."
)


# What a place that a person has named may refuse, and the way out; a run's own folder says it itself (StoreError).
_NOT_ALLOWED: Final = "Give yourself the right to write there, or name another place"
_OF_THE_DISK: Final = {
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), _NOT_ALLOWED),
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "Make room there, or name another place"),
    **dict.fromkeys((errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP), "Name another place"),
}


class Door(TyperGroup):
    """The group of all verbs; what they raise ends here."""

    def invoke(self, ctx: Any) -> Any:
        """Call the verb. Raises typer.Exit with the code of whatever it raised."""
        try:
            return super().invoke(ctx)
        except LabloopError as error:
            words.say(str(error))
            raise typer.Exit(exits.code_of(error)) from None
        except KeyboardInterrupt as error:
            if str(error):
                words.say(str(error))
            raise typer.Exit(exits.INTERRUPTED) from None
        except BrokenPipeError:  # `labloop trials RUN | head`: the reader has what it wanted
            sys.stderr.close()
            raise typer.Exit(exits.DONE) from None
        except typer.Abort:
            words.say("That was not answered, and nothing more was done.")
            raise typer.Exit(exits.USAGE) from None
        except typer.Exit:
            raise
        except OSError as error:
            if error.errno not in _OF_THE_DISK:
                error.add_note(DEFECT)
                raise
            words.say(f"{error.filename or 'the output'}: {os.strerror(error.errno)}. {_OF_THE_DISK[error.errno]}")
            raise typer.Exit(exits.USAGE) from None
        except Exception as error:
            if not hasattr(error, "exit_code"):  # usage errors of the parser carry theirs
                error.add_note(DEFECT)
            elif said := getattr(error, "message", ""):
                error.message = _in_our_words(said)  # type: ignore[attr-defined]  # of the parser's errors
            raise


# What the parser says of a value that it cannot read, and what we say.
_OURS: Final = (
    (re.compile(r"Input should be a valid integer(?:, .*)?"), "must be a whole number"),
    (re.compile(r"Input should be a valid number(?:, .*)?"), "must be a number"),
    (re.compile(r"Input should be "), "must be "),
    (re.compile(r"Value error, "), ""),
)


def _in_our_words(said: str) -> str:
    for theirs, ours in _OURS:
        said = theirs.sub(ours, said)
    return said


app = typer.Typer(
    name="labloop",
    cls=Door,
    help="A closed-loop laboratory controller: one YAML file, real or simulated instruments, a journal that survives.",
    no_args_is_help=True,
    rich_markup_mode=None,  # rich costs a third of the time that --help has
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        words.give(f"labloop {__version__}")
        raise typer.Exit


@app.callback()
def labloop(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """A closed-loop laboratory controller: one YAML file, real or simulated instruments, a journal that survives."""


app.command("check")(check.check)
app.command("run")(run.run)
app.command("resume")(run.resume)
app.command("watch")(read.watch)
app.command("status")(read.status)
app.command("trials")(read.trials)
app.command("why")(why.why)
app.command("replay")(replay.replay)
app.command("ask")(ask.ask)
app.command("tell")(ask.tell)
app.command("prefer")(prefer.prefer)
app.command("compare")(prefer.compare)
app.command("amend")(amend.amend)
app.command("request")(request.request)
app.command("abort")(request.abort)
app.command("simulate")(bench.simulate)
app.command("serve")(bench.serve)
app.command("instruments")(instruments.instruments)
app.command("notify")(notify.notify)
app.command("ports")(bench.ports)
app.command("keys")(bench.keys)
app.command("conformance")(new.conformance)
app.command("new")(new.new)
app.command("new-driver")(new.new_driver)
app.command("backtest")(backtest.backtest)
app.command("schema")(check.schema)


def main() -> None:
    """Run the command line and end the process with its exit code."""
    gc.set_threshold(100_000)  # what imports make is no garbage: looked through less often they take a tenth less
    for name in (*sys.argv[1:], os.getcwd()):
        if not words.is_text(name):  # such bytes fit in no journal
            words.say(f"{name!a}: names must be UTF-8. Rename that file or folder, or use another.")
            raise SystemExit(exits.USAGE)
    app()
