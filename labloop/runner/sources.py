"""The code of a bench: the files of the drivers and simulators that a lab names, and what they import of their own.

They decide what an act does, so they are files of the run like campaign and lab: kept, and held against what is there
when the run goes on. A file is known by its import name, ``drivers/new_era.py``. Nothing is imported to find it out.
"""

import ast
import importlib.util
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from labloop.bench.loading import put_on_path, refuse_hidden
from labloop.campaign.lab_spec import LabSpec


def sources(lab: LabSpec, *, simulators: bool) -> dict[str, bytes]:
    """{``drivers/new_era.py``: its bytes}, in order. ``simulators``: those too (a live run moves none of them).

    Raises SpecError for one of the lab's own that another of the same name hides.
    """
    put_on_path(lab.root)
    named = [one.driver for one in lab.instruments.values()]
    named += [one.simulator for one in lab.instruments.values() if simulators and one.simulator]
    waiting = sorted({name.partition(":")[0] for name in named})
    found: dict[str, bytes] = {}
    seen: set[str] = set()
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        file = _file_of(module)
        if file is not None:
            refuse_hidden(module, file, lab.root, lab.named(("instruments",)))
            package = file.name == "__init__.py"
            found[module.replace(".", "/") + ("/__init__.py" if package else ".py")] = data = file.read_bytes()
            waiting += [name for name in _imported(data, module, package) if _is_own(name, module)]
    return dict(sorted(found.items()))


def _is_own(name: str, module: str) -> bool:
    """Whether both are of one top-level package: the lab's own, not a library and not labloop."""
    return name.partition(".")[0] == module.partition(".")[0]


def _file_of(module: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):  # it is a name in a module, not a module; or its package is not there
        return None
    return Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None


@lru_cache(maxsize=256)  # the same text is read again whenever a run of this process is taken up
def _imported(data: bytes, module: str, package: bool) -> tuple[str, ...]:
    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError):
        return ()  # loading it will say so
    return tuple(_names(tree, module, package))


def _names(tree: ast.AST, module: str, package: bool) -> Iterator[str]:
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = node.level - package
            base = ".".join(module.split(".")[: -above or None]) if node.level else ""
            start = ".".join(filter(None, (base, node.module)))
            yield start
            yield from (f"{start}.{alias.name}" for alias in node.names)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """All statements within: no import stands in an expression, of which there are many times as many nodes."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        for block in ("body", "handlers", "orelse", "finalbody", "cases"):
            within = getattr(node, block, ())
            if isinstance(within, list):  # an expression's body is one node
                waiting += within
                yield from within
