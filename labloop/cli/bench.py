"""``simulate``, ``serve``, ``keys`` and ``ports``: what a bench is reached by, without a campaign."""

from pathlib import Path
from typing import Annotated

import typer

from . import words
from .options import Json, LabFile, Live, person


def simulate(
    lab: LabFile,
    addresses: Annotated[
        Path, typer.Option("--addresses", metavar="OUT.yaml", help="The lab file that points at the simulators.")
    ],
    ledger: Annotated[
        Path | None,
        typer.Option("--ledger", metavar="FILE", help="One JSON line for each physical act's begin and end."),
    ] = None,
    speed: Annotated[
        float | None, typer.Option("--speed", metavar="X", help="So many times faster (default: the lab file's).")
    ] = None,
    faults: Annotated[str | None, typer.Option("--faults", metavar="SPEC", help="Faults they shall have.")] = None,
    transport: Annotated[
        str | None,
        typer.Option(
            "--transport", metavar="HOW", help="pty, tcp or rfc2217, for serial lines (default: as LAB's ports say)."
        ),
    ] = None,
    host: Annotated[
        str | None, typer.Option("--host", metavar="HOST", help="Where ZMQ ports are reached (default: here only).")
    ] = None,
    own_key: Annotated[
        Path | None, typer.Option("--own-key", metavar="FILE", help="The server's own NAME.key_secret, for ZMQ.")
    ] = None,
    allow: Annotated[
        Path | None, typer.Option("--allow", metavar="DIR", help="The public keys (*.key) of those who are let in.")
    ] = None,
) -> None:
    """Serve a lab's simulators on real ports until SIGTERM."""
    from labloop.campaign.errors import SpecError
    from labloop.campaign.spec import read_lab
    from labloop.runner.benches import refuse_bad_faults, serve_lab

    if speed is not None and not speed > 0:
        raise SpecError(f"--speed {speed}: must be above 0")
    refuse_bad_faults(faults)
    for option, path in (("--addresses", addresses), ("--ledger", ledger)):
        if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
            raise SpecError(f"{option} {path}: there is no folder for it. Name a file in a folder that is there")
    spec = read_lab(lab)
    if addresses.exists() and not addresses.is_file():
        raise SpecError(f"--addresses {addresses}: is no plain file. Name another")
    if addresses.exists() and addresses.samefile(lab):
        raise SpecError(f"--addresses {addresses}: that is LAB itself. Name another file")
    said = f"{spec.name}: serving {len(spec.instruments)} instruments; {addresses} says where. SIGTERM ends it."
    given = {"host": host, "own_key": own_key and own_key.resolve(), "allow": allow and allow.resolve()}
    door = {option: str(value) for option, value in given.items() if value is not None}
    serve_lab(
        spec, addresses, speed=speed or spec.simulation.speed, faults=faults, ledger=ledger, door=door,
        transport=transport, serving=lambda: words.say(said),
    )  # fmt: skip


def serve(
    lab: LabFile,
    live: Live = False,
    host: Annotated[str, typer.Option("--host", metavar="HOST", help="Where it is reached.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", metavar="N", help="Its TCP port; 0 takes a free one.")] = 12300,
    node: Annotated[
        str | None, typer.Option("--node", metavar="NAME", help="The node's name (default: the lab's).")
    ] = None,
    own_key: Annotated[
        Path | None, typer.Option("--own-key", metavar="FILE", help="The server's own NAME.key_secret.")
    ] = None,
    allow: Annotated[
        Path | None, typer.Option("--allow", metavar="DIR", help="The public keys (*.key) of those who are let in.")
    ] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Tell what instruments read, and do nothing.")] = False,
) -> None:
    """Offer a lab's instruments to other programs, as actors of LECO over ZMQ, until SIGTERM (Ctrl-C, SIGHUP)."""
    from labloop.bench import BenchError
    from labloop.campaign.errors import SpecError
    from labloop.campaign.spec import read_lab
    from labloop.runner.serving import serve_bench
    from labloop.runner.signals import Heeded

    if not 0 <= port < 65536:
        raise SpecError(f"--port {port}: a TCP port is 0 to 65535")
    spec = read_lab(lab)
    with Heeded() as signals:
        words.say("LIVE" if live else "SIMULATED")
        errors = serve_bench(
            spec, live=live, node=node if node is not None else spec.name.replace(".", "_"), host=host, port=port,
            own_key=own_key, allow=allow, read_only=read_only, ended=signals.heed, at_once=signals.at_once,
            said=words.say, by=person(""),
        )  # fmt: skip
        why = signals.heed()
    if errors:
        raise BenchError("\n".join(["the bench is not in its safe state:", *errors]))
    words.say(f"{why}; the bench is in its safe state.")


def keys(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose keys: a machine's or a person's name.")],
    folder: Annotated[Path, typer.Option("--folder", metavar="DIR", help="Where the two files go.")] = Path("keys"),
    json: Json = False,
) -> None:
    """Make a pair of keys for ZMQ beyond this machine."""
    from labloop.campaign.errors import SpecError
    from labloop.keys import KeyFileError, make_pair

    try:
        public, secret = make_pair(folder, name)
    except KeyFileError as error:
        raise SpecError(str(error)) from error
    if json:
        words.give_json({"schema": 1, "public": str(public), "secret": str(secret)})
        return
    words.give(str(public))
    words.give(str(secret))
    words.say(f"{public.name} is for the other side; {secret.name} stays here, readable by you alone.")
    words.say(f"A server takes it with --own-key, and lets in whose NAME{public.suffix} lies in its --allow folder.")
    words.say(f"A lab file names it in the port: ?server_key=THEIRS{public.suffix}&client_key={secret.name}")


def ports(
    probe: Annotated[
        bool, typer.Option("--probe", help="Ask on each port who is there, as each known driver asks; sets nothing.")
    ] = False,
    at: Annotated[
        list[str] | None, typer.Option("--at", metavar="PORT", help="Only this port, like serial:///dev/ttyUSB0.")
    ] = None,
    lab: Annotated[
        Path | None, typer.Option("--lab", metavar="LAB", help="Whose drivers are tried (default: all shipped ones).")
    ] = None,
    json: Json = False,
) -> None:
    """The serial ports of this machine, as a lab file writes them; with --probe, who is on them.

    An alarm is told once, to whoever asks first, and is evidence of what became of a run that was killed: a line that
    such a run of this user's had is not asked before it was resumed, with --lab no line of that bench (whoever ran it).
    Nor is a port that a lab file's run, service or command has now, through the network or at rest.
    """
    from dataclasses import asdict

    from labloop.bench.discovery import serial_ports

    found = serial_ports()
    if probe or at:
        _probe(at or [one.address for one in found], lab, json)
        return
    if json:
        words.give_json({"schema": 1, "ports": [asdict(one) for one in found]})
    elif not found:
        words.say("This machine has no serial port. Is the adapter plugged in?")
    else:
        words.give_table(
            ["port", "device", "what", "serial number"],
            [[one.address, one.device, one.description, one.serial_number] for one in found],
        )


def _probe(places: list[str], lab: Path | None, json: bool) -> None:
    from contextlib import nullcontext
    from dataclasses import asdict

    from labloop.campaign.spec import read_lab
    from labloop.journal import StoreLocked
    from labloop.runner.by_hand import taken
    from labloop.runner.probing import evidence, known, line_of
    from labloop.runner.probing import probe as ask
    from labloop.runner.sole import alone

    spec = read_lab(lab) if lab is not None else None
    drivers = known(spec)
    heard = []
    with taken(spec, live=True, looks=True) if spec is not None else nullcontext():
        owed = evidence()
        for place in places:
            if (run := owed.get(line_of(place))) is not None:
                words.say(
                    f"{place}: not asked. The run in {run} was killed on this line, and what is said there first is "
                    f"its evidence. Say `labloop resume {run}` before"
                )
                continue
            try:
                with alone(place, spec):
                    for one in ask(place, drivers):
                        words.say(f"{one.address}  {one.driver}  {one.model or 'nobody'}")
                        heard.append(one)
            except StoreLocked as error:
                words.say(f"not asked. {error}")
    answered = [one for one in heard if one.model]
    if json:
        words.give_json({"schema": 1, "heard": [asdict(one) for one in heard]})
    elif answered:
        words.give_table(
            ["driver", "model", "serial number", "port, as a lab file writes it"],
            [[one.driver, one.model, one.serial, one.address] for one in answered],
        )
    else:
        words.say("Nobody answered as any known instrument does. Look at power, cable, line settings and address.")
