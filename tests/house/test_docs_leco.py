"""docs/leco.md: its lab file is one, its program runs against a served lab, and no key of the options is left out."""

import re
import subprocess
import sys
from pathlib import Path

from drivers.leco_options import KNOWN, read_options
from labloop.campaign.spec import read_lab

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "leco.md").read_text()


def block(language: str) -> str:
    found = re.search(rf"```{language}[^\n]*\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_pages_lab_file_is_one(tmp_path: Path) -> None:
    (tmp_path / "furnace.yaml").write_text(block("yaml"))
    lab = read_lab(tmp_path / "furnace.yaml")
    doings = read_options(lab.instruments["furnace"].options).doings
    assert list(doings) == ["heat", "dose"] and doings["dose"].action.remainder


def test_the_page_names_every_option() -> None:
    for name in KNOWN:
        assert name in ("actor", "actions") or f"`{name}" in PAGE, name


def test_the_pages_program_drives_a_served_lab() -> None:
    serve = [sys.executable, "-P", "-m", "labloop", "serve", str(ROOT / "campaigns" / "lab.yaml"), "--port", "0"]
    with subprocess.Popen(serve, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            address = next(line for line in process.stderr if " at zmq+tcp://" in line)
            number = address.strip().rpartition(":")[2]
            program = block("python").replace("12300", f"{number}, timeout=60")  # its own second is too short when busy
            done = subprocess.run(
                [sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False
            )
            assert done.returncode == 0, done.stderr
            assert "New Era NE-1000 syringe pump" in done.stdout and "'state': 'running'" in done.stdout
        finally:
            process.terminate()
            process.wait(300)
