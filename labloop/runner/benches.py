"""From a lab file to the plan of its simulated bench, and from the ports it got back to a lab file.

A plan is plain data (see labloop.simulation.bench), so that it can travel to another process. The lab file that comes
back is the person's own text with other ports in it: comments, order and everything else stand as they were written.
"""

from collections.abc import Callable, Mapping
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from labloop.bench.loading import load_class
from labloop.campaign.errors import SpecError
from labloop.campaign.lab_spec import LabSpec
from labloop.journal.files import write_whole

from .rewriting import as_written

# Keys of `sample:` that name files; what a fit and the single measurements are called when nobody names them.
TABLES: Final = ("response", "raw", "fit", "target")
BESIDE: Final[Mapping[str, str]] = {"raw": ".raw.csv", "fit": ".fit.json"}


def simulation_plan(
    lab: LabSpec, *, speed: float = 1.0, seed: int = 0, faults: str | None = None, ledger: Path | None = None
) -> dict[str, Any]:
    """The plan of a lab's simulated bench, every path absolute. Instruments without a simulator are left out."""
    instruments: dict[str, Any] = {}
    for name, instrument in lab.instruments.items():
        if not instrument.simulator:
            continue
        options = instrument.options | instrument.simulation
        if instrument.serial:
            options["serial"] = instrument.serial
        if instrument.stock is not None:
            options["stock"] = str(instrument.stock)
        instruments[name] = {"simulator": instrument.simulator, "port": instrument.port, "options": options}
    return {
        "instruments": instruments,
        "root": str(lab.root.resolve()),
        "sample": _sample(lab) or None,
        "seed": seed,
        "speed": speed,
        "faults": faults,
        "ledger": str(ledger.resolve()) if ledger else None,
    }


def refuse_bad_faults(faults: str | None) -> None:
    """Raise SpecError for faults that the simulators do not know, before anything is begun."""
    from labloop.simulation.faults import parse_faults  # noqa: PLC0415  (it takes numpy to import)

    try:
        parse_faults(faults)
    except ValueError as error:
        raise SpecError(f"--faults {faults}: {str(error).removeprefix('faults: ')}") from error


def simulated_complaints(lab: LabSpec) -> list[str]:
    """What a simulated run would stumble over in the lab's ``sample:`` and its simulators."""
    from labloop.simulation.bench import SimulatedBench  # noqa: PLC0415  (it takes numpy to import)
    from labloop.simulation.clock import VirtualClock  # noqa: PLC0415
    from labloop.simulation.sample import refuse_bad_sample  # noqa: PLC0415

    complaints = []
    try:
        if given := _sample(lab):
            refuse_bad_sample(given, [name for name, one in lab.instruments.items() if one.simulator])
    except ValueError as error:
        complaints = [f"{lab.named(('sample',))}: {str(error).removeprefix('sample: ')}"]
    for name, one in lab.instruments.items():
        try:
            if one.simulator:
                load_class(one.simulator, lab.root, lab.named(("instruments", name, "simulator")))
        except SpecError as error:
            complaints += error.complaints
    if complaints:
        return complaints
    plan = simulation_plan(lab) | {"sample": None}  # fitting it takes its time
    try:
        SimulatedBench(plan, VirtualClock()).close()
    except ValueError as error:
        name, _, said = str(error).partition(": ")
        if name in lab.instruments:
            complaints.append(f"{lab.named(('instruments', name))}: {said}")
        else:
            complaints.append(f"{lab.named(('instruments',))}: {error}")
    return complaints


def not_simulated(lab: LabSpec) -> list[str]:
    """The instruments without which a simulated run cannot be."""
    return [
        f"{lab.named(('instruments', name))} has no simulator, so it can be run with --live only. Write simulator: "
        "simulators.x:X"
        for name, one in lab.instruments.items()
        if not one.simulator
    ]


def served_lab(lab: LabSpec, ports: Mapping[str, str], speed: float, refills: Path) -> str:
    """The text of a lab file whose ports are ``ports`` ({instrument: address}) and which works from any folder.

    refills: where its simulators take up what a person says was refilled.
    """
    yaml = as_written()
    text = yaml.load(lab.source)
    for name, address in ports.items():
        text["instruments"][name]["port"] = DoubleQuotedScalarString(_from_anywhere(address, lab.folder))
    sample = _sample(lab)
    for key in TABLES:
        if key in sample and key in text["sample"]:
            text["sample"][key] = sample[key]
    text["root"] = str(lab.root.resolve())
    text["simulated"] = True
    text["speed"] = speed
    text["refills"] = DoubleQuotedScalarString(str(refills))
    out = StringIO()
    yaml.dump(text, out)
    return out.getvalue()


def _from_anywhere(address: str, folder: Path) -> str:
    """An address whose client_key is found from any folder."""
    before, query, own = address.partition("client_key=")
    return before + query + str(folder.resolve() / own) if query else address


def _sample(lab: LabSpec) -> dict[str, Any]:
    """The lab's ``sample:`` with absolute paths. What stands beside the table is named, where it is there.

    The lab's own folder comes first, because only there the table has its neighbours; a run's kept copy is for labs
    that were moved since.
    """
    sample = dict(lab.sample or {})
    for key in TABLES:
        if sample.get(key):
            beside = (lab.folder / str(sample[key])).resolve()
            sample[key] = str(beside if beside.is_file() else lab.files.get(str(sample[key]), beside))
    for key, suffix in BESIDE.items():
        if sample.get("response") and not sample.get(key):
            table = Path(sample["response"]).with_suffix(suffix)
            if table.is_file():
                sample[key] = str(table)
    return sample


def serve_lab(
    lab: LabSpec, out: Path, *, speed: float, faults: str | None = None, ledger: Path | None = None,
    door: Mapping[str, str] | None = None, transport: str | None = None, serving: Callable[[], None],
) -> None:  # fmt: skip
    """Serve a lab's simulators on real ports until SIGTERM or SIGINT; ``out``: the lab file that points at them.

    serving: called when every port answers and ``out`` says where.

    door: ``host``, ``own_key`` and ``allow``, as labloop.simulation.serve knows them. transport: pty, tcp or rfc2217
    for every serial line (None: as each port's own address says).

    Raises SpecError for a bench that cannot be built, or a folder that cannot be written.
    """
    from labloop.simulation.serve import serve  # noqa: PLC0415  (it takes numpy to import)

    if missing := not_simulated(lab):
        raise SpecError(*missing)
    plan = simulation_plan(lab, speed=speed, faults=faults, ledger=ledger)
    out.unlink(missing_ok=True)  # whoever waits for it must not find an earlier one's dead ports
    with TemporaryDirectory(prefix="labloop-served-") as home:
        plan |= {"addresses": str(Path(home) / "addresses.json"), "state": None, "watch": None, **(door or {})}
        plan["transport"] = transport
        refills = Path(home).resolve() / "by-hand"
        refills.mkdir()
        plan["by_hand"] = str(refills)

        def ready(server: Any) -> None:
            write_whole(out, served_lab(lab, server.ports, speed, refills).encode(), shared=True)
            serving()

        try:
            serve(plan, ready)
        except ValueError as error:
            raise SpecError(f"{lab.folder}: {error}") from error
