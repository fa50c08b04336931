"""Campaigns that are sound YAML, and hostile all the same: read or refused soon, in little memory, in few words.

All in one process of its own, whose processor time and memory the system itself bounds.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAD = "labloop: 1\ncampaign: x\noutcomes:\n  y: {goal: minimize}\n"
P = "parameters:\n  a: {range: [0, 1]}\n"


def constraint(text: str) -> str:
    return f"{HEAD}{P}constraints:\n  - {text}\n"


def parameter(text: str) -> str:
    return f"{HEAD}parameters:\n  a: {text}\n"


# name: (the file, a word of the complaint; "": it is read)
HOSTILE: dict[str, tuple[str, str]] = {
    "many unknown keys": (HEAD + P + "".join(f"k{i}: 1\n" for i in range(4000)), "... and 3900 more complaints"),
    "many bad constraints": (
        HEAD + P + "constraints:\n" + "".join(f"  - b{i} <= 1\n" for i in range(4000)), "... and 3900 more complaints",
    ),
    "many constraints": (HEAD + P + "constraints:\n" + "".join(f"  - a <= {i + 1}\n" for i in range(4000)), ""),
    "many parameters": (
        HEAD + "parameters:\n" + "".join(f"  p{i}: {{range: [0, 1]}}\n" for i in range(1500)), "200 are the most",
    ),
    "a mixture of many": (
        f"{HEAD}parameters:\n  m: {{mixture: [{','.join(f'c{i}' for i in range(4000))}], sum: 1}}\n",
        "200 are the most",
    ),
    "many choices": (parameter(f"{{choices: [{','.join(f'c{i}' for i in range(9000))}]}}"), ""),
    "a long sum": (constraint(" + ".join(["a"] * 100_000) + " <= 5"), "constraints[0]"),
    "deep brackets": (constraint("(" * 100_000 + "a" + ")" * 100_000 + " <= 5"), "constraints[0]"),
    "many minuses": (constraint("-" * 100_000 + "a <= 5"), "constraints[0]"),
    "a tower of powers": (constraint("a ** 9 ** 9 ** 9 ** 9 <= 5"), "is not a finite number"),
    "a huge power": (constraint("9999999 ** 9999999 * a <= 5"), "is not a finite number"),
    "a number of 200 000 digits": (parameter(f"{{range: [0, {'9' * 200_000}]}}"), "a.range[1]"),
    "a grid without end": (parameter("{range: [0, 1e300], step: 1e-300}"), "1,000,000,000 values"),
    "a unit of 100 000 characters": (parameter(f"{{range: [0, 1], unit: {'m*' * 50_000}m}}"), "a.unit"),
    "a unit to a huge power": (parameter("{range: [0, 1], unit: m**99999999999}"), "a.unit"),
    "a key of a megabyte": (f"{HEAD}{P}? {'k' * 900_000}\n: 1\n", "unknown key"),
    "a name of a megabyte": (f"labloop: 1\ncampaign: {'x' * 900_000}\n{P}", "campaign = "),
    "a key that commands": (HEAD + P + '"\\e[31mfoo\\x9b\\u202e": 1\n', "unknown key"),
    "a name that turns round": (f'{HEAD}parameters:\n  "a\\u202eb": {{range: [0, 1]}}\n', "is no name"),
    "a merge": (HEAD + P + "<<: {labloop: 2}\n", "f.yaml:7:1: <<: unknown key"),
    "a count of 250 digits": (f"{HEAD}{P}budget: {{trials: {'9' * 250}}}\n", "budget.trials"),
    "a design without end": (HEAD + P + "design: {initial: {method: sobol, trials: 999999999999}}\n", ""),
    "a template of 200 000 names": (f'{HEAD}{P}trial:\n  - person.do: {{ask: "{"$a" * 200_000}"}}\n', "trial[0]"),
}
READ = """
import json, resource, sys
from pathlib import Path
from labloop.campaign.errors import SpecError
from labloop.campaign.space import Space
from labloop.campaign.spec import read_spec_text

SOUND = "labloop: 1\\ncampaign: x\\nparameters: {a: {range: [0, 1]}}\\noutcomes: {y: {goal: minimize}}"
Space(read_spec_text(SOUND, "f", Path()))
said, before = {}, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for name, text in json.load(sys.stdin).items():
    resource.setrlimit(resource.RLIMIT_CPU, (int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2])) + 60, -1))
    try:
        Space(read_spec_text(text, "f.yaml", Path())).sample(4, 0)
        said[name] = ""
    except SpecError as error:
        said[name] = str(error)
json.dump([said, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before], sys.stdout)
"""


@pytest.fixture(scope="module")
def said() -> tuple[dict[str, str], int]:
    texts = json.dumps({name: text for name, (text, _) in HOSTILE.items()})
    done = subprocess.run([sys.executable, "-c", READ], input=texts, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    words, grown_kb = json.loads(done.stdout)
    return words, grown_kb


@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_read_or_refused_in_few_words_with_its_place(name: str, said: tuple[dict[str, str], int]) -> None:
    complaint, word = said[0][name], HOSTILE[name][1]
    assert (word in complaint) if word else complaint == ""
    lines = complaint.splitlines()
    assert all(line.startswith(("f.yaml:", "... and ")) for line in lines)
    assert len(lines) <= 101 and all(len(line) < 500 and line.isprintable() for line in lines)


def test_all_of_them_take_little_memory(said: tuple[dict[str, str], int]) -> None:
    assert said[1] < 100_000, f"{said[1]} kB"


@pytest.mark.parametrize(
    ("table", "word"),
    [
        (",".join(f"c{n}" for n in range(200_000)) + "\n1\n", "200000 columns, and 10000 are the most"),
        ("a,a\n1,2\n", "names the column 'a' twice"),
        ("a\n" + '"' + "x" * 2_000_000, "is not CSV"),
        ("a\n1,2\n", ":2: the row has 2 cells"),
    ],
    ids=["wide", "twice", "a cell without end", "a cell too many"],
)
def test_tables(tmp_path: Path, table: str, word: str) -> None:
    from labloop.campaign.errors import SpecError
    from labloop.campaign.tables import read_table

    path = tmp_path / "t.csv"
    path.write_text(table)
    with pytest.raises(SpecError) as raised:
        read_table(path)
    assert word in str(raised.value) and len(str(raised.value)) < 500


def test_a_table_of_results_has_a_bound(tmp_path: Path) -> None:
    from labloop.campaign.errors import SpecError
    from labloop.campaign.tables import LONGEST_TOLD, read_table

    path = tmp_path / "t.csv"
    with path.open("wb") as file:
        file.truncate(LONGEST_TOLD + 1)
    with pytest.raises(SpecError, match="Part the table"):
        read_table(path, LONGEST_TOLD)


def test_a_table_is_a_plain_file(tmp_path: Path) -> None:
    from labloop.campaign.errors import SpecError
    from labloop.campaign.tables import read_table

    os.mkfifo(tmp_path / "pipe.csv")  # opened, it waits for whoever writes into it
    for path in (tmp_path / "pipe.csv", tmp_path, Path("/dev/zero")):
        with pytest.raises(SpecError, match=r"is not a plain file\. Name a CSV file"):
            read_table(path)
