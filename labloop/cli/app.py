"""The door: verbs by name, and every error turned into what a person reads and an exit code.

A complaint of ours (LabloopError) ends with its message on stderr and its code, never with a traceback. Anything
else is a defect: its traceback stays, and says that it is one.
"""

import errno
import gc
import os
import re
import sys
from collections.abc import Callable
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

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

    def make_context(self, *args: Any, **words: Any) -> Any:
        """Read what stands before the verb, and answer --help and --version. Raises as ``invoke`` does."""
        try:
            return super().make_context(*args, **words)
        except OSError as error:
            raise _ended_by(error) from None

    def invoke(self, ctx: Any) -> Any:
        """Call the verb. Raises typer.Exit with the code of whatever it raised."""
        try:
            return super().invoke(ctx)
        except LabloopError as error:
            words.say("\n".join([str(error), *getattr(error, "__notes__", ())]))
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
            raise _ended_by(error) from None
        except Exception as error:
            if not hasattr(error, "exit_code"):  # usage errors of the parser carry theirs
                error.add_note(DEFECT)
            elif said := getattr(error, "message", ""):
                error.message = _in_our_words(said)  # type: ignore[attr-defined]  # of the parser's errors
            raise


def _ended_by(error: OSError) -> Exception:
    """What ends a verb that a disk or a place refused, once that was said; the error itself where it is a defect."""
    if error.errno == errno.EPIPE:
        return error  # nobody reads any more: its way out is the parser's
    if error.errno not in _OF_THE_DISK:
        error.add_note(DEFECT)
        return error
    words.say(f"{error.filename or 'the output'}: {os.strerror(error.errno)}. {_OF_THE_DISK[error.errno]}")
    return typer.Exit(exits.USAGE)


_NEGATIVE: Final = re.compile(r"-\.?\d")

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


class Verb(TyperCommand):
    """One verb. A word like ``-3 mL`` is a quantity, no option: what is wrong with it the verb says itself."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """``[OPTIONS] RUN [TRIAL] [name=value ...]``: brackets around what may be left out, none around the rest."""
        return ["[OPTIONS]", *(name if needed else f"[{name}]" for name, needed, _ in self._arguments())]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write what each argument and each option means."""
        arguments = [(name, said) for name, _, said in self._arguments()]
        options = [
            row for one in self.get_params(ctx)
            if one.param_type_name == "option" and (row := one.get_help_record(ctx)) is not None
        ]  # fmt: skip
        for title, rows in (("Arguments", arguments), ("Options", options)):
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def _arguments(self) -> list[tuple[str, bool, str]]:
        """Of each its name, whether it is needed, and what it is."""
        found: list[Any] = [one for one in self.params if one.param_type_name == "argument"]
        return [(one.metavar or one.name.upper(), one.required, one.help or "") for one in found]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read options and arguments. Raises the parser's errors."""
        return super().parse_args(ctx, self._parted(args) if any(map(_NEGATIVE.match, args)) else args)

    def _parted(self, args: list[str]) -> list[str]:
        """Options in front, what is none behind ``--``: there the parser looks for no more options."""
        valued = {
            name for one in self.params if one.param_type_name == "option" and not getattr(one, "is_flag", False)
            for name in one.opts
        }  # fmt: skip
        options: list[str] = []
        others: list[str] = []
        left = iter(args)
        for word in left:
            if word == "--":
                others += left
            elif len(word) < 2 or word[0] != "-" or _NEGATIVE.match(word):
                others.append(word)
            elif word not in valued:
                options.append(word)
            elif (value := next(left, None)) is not None:
                options += [word, value]
            else:
                return [word]  # the parser says that its value is missing
        return [*options, "--", *others]


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


# Each with a line that fits behind it in a terminal of 80 columns.
_VERBS: Final[dict[str, tuple[Callable[..., None], str]]] = {
    "check": (check.check, "Everything that can be known before anything moves."),
    "run": (run.run, "Run a campaign to the end of its budget."),
    "resume": (run.resume, "Go on with a run after any stop, crash or halt."),
    "watch": (read.watch, "The dashboard, on one run or the list of all."),
    "status": (read.status, "How a run stands; with --since, what the next shift must know."),
    "trials": (read.trials, "Every trial of a run."),
    "why": (why.why, "Why this point, and why not another?"),
    "replay": (replay.replay, "Would the same be proposed again?"),
    "ask": (ask.ask, "Propose what to try next, and write it down."),
    "tell": (ask.tell, "Tell what came of a trial, or old data from a table."),
    "prefer": (prefer.prefer, "Say which of two trials is better."),
    "compare": (prefer.compare, "Which two trials are most worth comparing next."),
    "amend": (amend.amend, "Change a campaign in mid-run."),
    "request": (request.request, "Ask something of a run: pause, resume, stop, act, add, veto ..."),
    "abort": (request.abort, "To the safe state, now: one run, or every run of this machine."),
    "simulate": (bench.simulate, "Serve a lab's simulators on real ports."),
    "serve": (bench.serve, "Offer a lab's instruments to other programs, over LECO."),
    "instruments": (instruments.instruments, "Who is there and what it reads, or one action by hand."),
    "notify": (notify.notify, "Send a message to each target of the lab file's notify:."),
    "ports": (bench.ports, "The serial ports of this machine; with --probe, who is there."),
    "keys": (bench.keys, "Make a pair of keys for ZMQ beyond this machine."),
    "conformance": (new.conformance, "Try a driver on its simulator: does it keep every rule?"),
    "new": (new.new, "Make a lab of your own."),
    "new-driver": (new.new_driver, "Write a driver, its simulator and its tests."),
    "backtest": (backtest.backtest, "Try a campaign's strategy on a table of past measurements."),
    "schema": (check.schema, "The JSON Schemas of campaign and lab files, for editors."),
}
for name, (verb, line) in _VERBS.items():
    app.command(name, cls=Verb, short_help=line)(verb)


def main() -> None:
    """Run the command line and end the process with its exit code."""
    gc.set_threshold(400_000)  # what imports make is no garbage: never looked through they take a fifth less
    _fill_closed_streams()
    # A bench is made safe (abort, request RUN abort) from wherever somebody stands, and whatever they say.
    if not (sys.argv[1:2] in (["abort"], ["request"]) and "abort" in sys.argv):
        _refuse_places()
    app()


def _fill_closed_streams() -> None:
    """Open what was closed of stdin, stdout and stderr (``2>&-``) on nothing.

    Else an instrument's line or a journal gets its number, and whatever a library writes to stderr goes there.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            lowest = os.open(os.devnull, os.O_RDWR)  # of the numbers that are free
            setattr(sys, name, os.fdopen(lowest, mode, encoding="utf-8"))


def _refuse_places() -> None:
    """End where what is typed, or this folder, could not be written down. Raises SystemExit."""
    try:
        here = os.getcwd()
    except OSError as error:
        words.say(f"this folder: {os.strerror(error.errno or 0)}. Go to another one (cd).")
        raise SystemExit(exits.USAGE) from None
    for name in (*sys.argv[1:], here):
        if not words.is_text(name):  # such bytes fit in no journal
            words.say(f"{name!a}: names must be UTF-8. Rename that file or folder, or use another.")
            raise SystemExit(exits.USAGE)
