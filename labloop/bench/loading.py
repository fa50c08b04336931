"""Drivers and simulators out of a lab's folder: ``drivers.new_era:NE1000`` imported from the lab's root.

The root stands last on sys.path: first would let a spawned child import labloop itself from the wrong place. drivers/
and simulators/ have no ``__init__``, so a lab's own folder and the one that comes with labloop merge as namespace
packages; a folder that an installed package would hide is refused with a word about it, and so is a module of the lab
that another of the same name would hide: in a checkout the shipped ones come first.
"""

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from labloop.campaign.errors import SpecError

from .settings import suggest


def shipped_root() -> Path | None:
    """Where the shipped drivers/ and simulators/ lie: in the installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    for root in (package / "reference_lab", package.parent):
        if (root / "drivers").is_dir():
            return root
    return None


def put_on_path(root: Path) -> None:
    """Put a lab's root, and after it the shipped one, last on sys.path; once only."""
    for folder in (root, shipped_root()):
        if folder is not None and str(folder) not in sys.path:
            sys.path.append(str(folder))
            importlib.invalidate_caches()


def load_class(reference: str, root: Path, place: str) -> type[Any]:
    """Import ``module:Class`` from a lab. Raises SpecError that begins with ``place``."""
    module_name, colon, class_name = reference.partition(":")
    if not colon or not all(part.isidentifier() for part in [*module_name.split("."), class_name]):
        raise SpecError(f"{place}: {reference!r} is not module:Class. Write it as drivers.new_era:NE1000")
    _refuse_shadow(module_name.partition(".")[0], root, place)
    put_on_path(root)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise SpecError(f"{place}: {module_name} needs {error.name}, which is not installed") from error
        raise SpecError(f"{place}: there is no module {module_name} in {root}; {_near(module_name, root)}") from error
    except Exception as error:  # what stands in it runs: a vendor's library that is not there, a line that errs
        said = str(error) if isinstance(error, ImportError | SyntaxError | OSError) else repr(error)
        raise SpecError(f"{place}: {module_name} does not import: {said}") from error
    refuse_hidden(module_name, getattr(module, "__file__", None), root, place)
    found = getattr(module, class_name, None)
    if not isinstance(found, type):
        classes = [name for name, member in vars(module).items() if isinstance(member, type)]
        own = [name for name in classes if vars(module)[name].__module__ == module_name]
        raise SpecError(f"{place}: {module_name} has no class {class_name}; {suggest(class_name, own)}")
    return found


def refuse_hidden(module: str, used: str | Path | None, root: Path, place: str) -> None:
    """Refuse a module of the lab in whose place another one is used, and says something else. Raises SpecError."""
    own = root.joinpath(*module.split(".")).with_suffix(".py")
    if used is None or not own.is_file() or own.samefile(used) or own.read_bytes() == Path(used).read_bytes():
        return
    raise SpecError(
        f"{place}: {own} would not be used: {used} has the same name and comes first, and is another. Give the lab's "
        "own another name"
    )


def _refuse_shadow(top: str, root: Path, place: str) -> None:
    """Refuse a folder or module of the lab that an installed package of the same name hides (or would be hidden by)."""
    ours = root / top
    if not ours.is_dir() and not ours.with_suffix(".py").is_file():
        return
    spec = importlib.util.find_spec(top)
    if spec is None or spec.origin is None:  # not there yet, or a namespace package, which merges
        return
    if spec.origin not in ("built-in", "frozen") and Path(spec.origin).resolve().is_relative_to(root.resolve()):
        return
    raise SpecError(
        f"{place}: {ours} has the name of an installed package ({spec.origin}), and one would shadow the other. "
        "Rename the lab's"
    )


def _near(module_name: str, root: Path) -> str:
    folders = [one.joinpath(*module_name.split(".")[:-1]) for one in (root, shipped_root()) if one is not None]
    files = {path.stem for folder in folders for path in folder.glob("*.py")}
    # A driver's own codec and options (ika_codec beside ika) hold no driver.
    names = sorted(name for name in files if not any(name.startswith(f"{other}_") for other in files))
    if not names:
        return f"there is no folder {folders[0]} with modules"
    return suggest(module_name.rpartition(".")[2], names)
