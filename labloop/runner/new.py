"""A lab of one's own, and a driver with its simulator and its tests, that work before a word of them is changed."""

import keyword
import re
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Final

from labloop.bench.loading import shipped_root
from labloop.campaign.errors import SpecError
from labloop.campaign.spec import LabSpec, lab_from_dict, read_lab

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
FIRST: Final = "thermostat"


def new_lab(folder: Path) -> list[Path]:
    """Make a lab: lab.yaml, campaigns/first.yaml, and an instrument of its own. Gives what was written.

    Raises SpecError when something stands in the way, OSError for a place that may not be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SpecError(f"{folder}: is there already, and not empty. Give the lab a folder of its own")
    words = _words(FIRST) | {"FOLDER": _plain(folder.resolve().name), "CALLED": FIRST}
    files = {"lab.yaml": "lab.yaml.txt", "campaigns/first.yaml": "campaign.yaml.txt"}
    return [*_write(folder, files, words), *new_driver(FIRST, folder)]


def new_driver(name: str, folder: Path) -> list[Path]:
    """Write drivers/NAME.py, simulators/NAME.py and tests/test_NAME.py. Gives what was written.

    Raises SpecError for a name that is none, or is taken; nothing is written over.
    """
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise SpecError(f"{name}: is no name of a module. Use small letters, digits and _, a letter first")
    shipped = shipped_root()
    if shipped is not None and shipped.resolve() != folder.resolve() and (shipped / "drivers" / f"{name}.py").exists():
        raise SpecError(f"{name}: labloop ships a driver of this name. Choose another, or use drivers.{name}")
    files = {
        f"drivers/{name}.py": "driver.py.txt",
        f"simulators/{name}.py": "simulator.py.txt",
        f"tests/test_{name}.py": "test.py.txt",
    }
    return _write(folder, files, _words(name))


def class_of(name: str) -> str:
    """The class that a module of this name holds: ``ph_meter`` -> ``PhMeter``."""
    return "".join(part.capitalize() for part in name.split("_"))


def lab_with(reference: str, lab: Path | None) -> tuple[LabSpec, str]:
    """A lab file that has an instrument with this driver, and the instrument's name.

    lab: that one; None: lab.yaml and campaigns/*.yaml here, then those that come with labloop; a driver that is in none
    of them is tried without options, on a simulator of the same name. Raises SpecError.
    """
    for path in [lab] if lab is not None else _labs():
        try:
            spec = read_lab(path)
        except SpecError:
            if lab is not None:
                raise
            continue  # a campaign, or somebody else's file
        for name, one in spec.instruments.items():
            if one.driver == reference:
                return spec, name
    if lab is not None:
        raise SpecError(f"{lab}: has no instrument with driver: {reference!r}. Add one, or name another lab")
    module = reference.partition(":")[0].rpartition(".")[2]
    if not module or not reference.partition(":")[2]:
        raise SpecError(f"{reference}: is no driver. Write module.path:Class, like drivers.ika:RCT")
    entry = {
        "driver": reference, "simulator": f"simulators.{module}:{reference.partition(':')[2]}",
        "port": "serial:///dev/ttyUSB0?baud=9600",
    }  # fmt: skip
    return lab_from_dict({"labloop": 1, "name": "proving", "instruments": {module: entry}}, Path.cwd()), module


def _labs() -> Iterator[Path]:
    yield from (path for path in [Path("lab.yaml"), *sorted(Path("campaigns").glob("*.yaml"))] if path.is_file())
    shipped = shipped_root()
    if shipped is not None:
        yield from sorted((shipped / "campaigns").glob("*.yaml"))


def _words(name: str) -> dict[str, str]:
    title = name.replace("_", " ")
    return {"NAME": name, "CLASS": class_of(name), "TITLE": title[0].upper() + title[1:]}


def _plain(name: str) -> str:
    return re.sub(r"[^\w.-]", "-", name) or "lab"


def _write(folder: Path, files: Mapping[str, str], words: Mapping[str, str]) -> list[Path]:
    paths = {folder / path: template for path, template in files.items()}
    taken = [str(path) for path in paths if path.exists()]
    if taken:
        raise SpecError(f"{', '.join(taken)}: there already. Choose another name, or move it away")
    for path, template in paths.items():
        text = resources.files(__package__).joinpath("templates", template).read_text(encoding="utf-8")
        for word, value in words.items():
            text = re.sub(rf"\b{word}(?=\b|Codec)", value, text)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except FileNotFoundError:  # where nothing can be made, as in /proc
            raise SpecError(f"{path.parent}: no folder can be made there. Name another place") from None
        path.write_text(text, encoding="utf-8")
    return list(paths)
