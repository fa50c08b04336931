"""Files with a few pieces swapped at random: they are read, or refused with complaints, and nothing else."""

import random
import re
from pathlib import Path

import pytest

from labloop.campaign import recipe
from labloop.campaign.errors import SpecError
from labloop.campaign.space import Space
from labloop.campaign.spec import read_lab_text, read_spec_text, spec_from_dict

PAGE = (Path(__file__).parents[2] / "docs" / "yaml.md").read_text()
BLOCKS = re.findall(r"```yaml ?\w*\n(.*?)```", PAGE, re.DOTALL)
PIECE = re.compile(r"[\w$.%/]+|\{[^{}]*\}|\[[^\[\]]*\]")
WORDS = (
    "5", "-1", "{}", "[]", "null", "true", "x", "$x", "range", "choices", "{a: b}", "[1,2]", "1e9", ".nan", ".inf",
    "5 mL", "a.b", "told", "''", "[[1]]", "{range: [0,1]}", "0", "solvent == DMF", "1e308", "-1e308",
)  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_a_mutated_file_is_read_or_refused(seed: int, folder: Path) -> None:
    draw = random.Random(seed)
    (folder / "solvents.csv").write_text("name,dipole,logP\nDMF,3.8,-1.0\nwater,1.85,-1.4\n")
    read = 0
    for _ in range(150):
        text = draw.choice(BLOCKS)
        for _ in range(draw.randint(1, 3)):
            pieces = list(PIECE.finditer(text))
            piece = draw.choice(pieces)
            text = text[: piece.start()] + draw.choice([*WORDS, draw.choice(pieces)[0]]) + text[piece.end() :]
        try:
            if "instruments" in text:
                read_lab_text(text, "f.yaml", folder)
                read += 1
                continue
            spec = read_spec_text(text, "f.yaml", folder)
        except SpecError as error:
            assert all(line.startswith("f.yaml:") and len(line) < 1200 for line in error.complaints), error
            continue
        read += 1
        space = Space(spec_from_dict(spec.dump(), folder))
        for point in space.sample(2, 1):
            assert space.contains(point) == []
            space.decode(space.encode(point))
            recipe.stages(spec, "trial", point)
    assert read > 0
