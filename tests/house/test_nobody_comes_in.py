"""Nothing that comes from a file or a socket is ever run: no pickles, no evaluated text, no shell, on any path.

Walks every import, call and attribute of the sources. What may open a door for one good reason is named here, with it.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2]
SOURCES = sorted(path for room in ("labloop", "drivers", "simulators") for path in (HOUSE / room).rglob("*.py"))

# Modules that turn bytes into objects or into running code, or that listen for others.
MODULES = {
    "pickle", "_pickle", "cPickle", "pickletools", "copyreg", "shelve", "marshal", "dbm", "dill", "cloudpickle",
    "jsonpickle", "joblib", "yaml", "code", "codeop", "runpy", "imp", "ctypes", "multiprocessing", "xmlrpc",
    "socketserver", "http", "wsgiref",
    "asyncore", "smtpd", "cgi", "logging.config",
}  # fmt: skip
BUILTINS = {"eval", "exec", "compile", "__import__", "input"}
ATTRIBUTES = {
    "recv_pyobj", "send_pyobj", "read_pickle", "to_pickle", "read_hdf", "system", "popen", "literal_eval", "fromstring",
    "frombuffer_object", "load_module", "exec_module", "unsafe_load", "full_load",
}  # fmt: skip
LOADERS = {"torch", "np", "numpy", "joblib", "pandas", "pd"}  # whose .load unpickles

ALLOWED = {
    # Pieces of a backtest go to processes that the backtest itself began, over pipes that nobody else has.
    ("labloop/study/executor.py", "joblib"),
}
# Modules by a name that is not written out: the lab's own drivers and simulators (a person wrote their names into the
# lab file, and lab.yaml is hashed into the run), and tables of our own names.
BY_NAME = {
    "labloop/__init__.py", "labloop/planner/__init__.py", "labloop/bench/loading.py", "labloop/simulation/bench.py",
}  # fmt: skip


def doors(path: Path) -> Iterator[str]:
    """What stands open in one file."""
    name = path.relative_to(HOUSE).as_posix()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        where = f"{name}:{getattr(node, 'lineno', '?')}"
        for module in _imported(node):
            parts = {module, module.partition(".")[0]}
            if parts & MODULES and not any((name, part) in ALLOWED for part in parts):
                yield f"{where}: imports {module}"
        if isinstance(node, ast.Attribute) and node.attr in ATTRIBUTES:
            yield f"{where}: {ast.unparse(node)}"
        if isinstance(node, ast.Attribute) and node.attr == "load" and ast.unparse(node.value) in LOADERS:
            yield f"{where}: {ast.unparse(node)} may unpickle"
        if isinstance(node, ast.Call):
            yield from (f"{where}: {what}" for what in _called(node, name))


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0:
        return [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
        return [str(arg.value) for arg in node.args[:1] if isinstance(arg, ast.Constant)]
    return []


def _called(node: ast.Call, name: str) -> Iterator[str]:
    function = ast.unparse(node.func)
    if isinstance(node.func, ast.Name) and node.func.id in BUILTINS:
        yield f"calls {function}"
    if function.endswith("import_module") and not isinstance(node.args[0], ast.Constant) and name not in BY_NAME:
        yield f"imports a module by a name that is not written out: {ast.unparse(node)}"
    for keyword in node.keywords:
        value = ast.unparse(keyword.value)
        if keyword.arg == "shell" and value != "False":
            yield "calls a shell"
        if keyword.arg in ("allow_pickle", "weights_only"):
            yield f"{keyword.arg}={value}"
    if function.endswith("YAML") and [ast.unparse(k.value) for k in node.keywords if k.arg == "typ"] != ["'rt'"]:
        yield "a YAML loader other than the round-trip one, which makes no objects"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_no_door_stands_open(path: Path) -> None:
    assert list(doors(path)) == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle", "from pickle import loads", "import yaml", "from multiprocessing.connection import Client",
        "import torch\ntorch.load('x')", "import numpy as np\nnp.load('x')", "np.load('x', allow_pickle=True)",
        "pd.read_pickle('x')", "socket.recv_pyobj()", "eval('1')", "exec('1')", "compile('1', '', 'eval')",
        "__import__('os')", "import os\nos.system('ls')", "subprocess.run('ls', shell=True)",
        "from importlib import import_module\nimport_module(name)", "import_module('pickle')",
        "YAML(typ='unsafe')", "YAML()", "import joblib", "from multiprocessing import Pipe",
    ],
)  # fmt: skip
def test_an_open_door_is_seen(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.py").write_text(line)
    monkeypatch.setitem(globals(), "HOUSE", tmp_path)
    assert list(doors(tmp_path / "x.py"))
