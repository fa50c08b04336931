"""Campaigns against a table of past measurements: how soon would each strategy have found the best?

Every strategy begins, at one seed, with the same rows drawn by chance (told, not proposed); then it proposes rows that
were not measured yet, is told what the table says, and so on to the budget. Each course is one line of
``courses.jsonl`` in the folder, written when it is done, so a backtest that was ended goes on where it stood: a line
counts when its table, campaign, files that it names, budget, first rows, batch and version are the same.
"""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import numpy as np

from labloop import __version__
from labloop.campaign.errors import SpecError
from labloop.campaign.objective import Objective
from labloop.campaign.spec import read_spec

from .executor import as_done
from .measured import Measured, read_measured
from .scores import can_tell, score
from .strategies import LABLOOP, RANDOM, check_names, strategy

COURSES: Final = "courses.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be tried. ``against``: ``random``, or ``NAME=FILE`` with another campaign file."""

    campaign: Path
    table: Path
    folder: Path
    against: tuple[str, ...] = (RANDOM,)
    seeds: int = 20
    trials: int | None = None  # evaluations in all; None: the campaign's budget
    initial: int = 5
    batch: int | None = None  # None: the campaign's
    jobs: str = "-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One course to run: everything that a worker needs."""

    name: str
    campaign: Path
    table: Path
    seed: int
    trials: int
    initial: int
    batch: int
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """One course as it went. ``rows``: of the table, as measured. ``cpu_s``, ``wall_s``: of each proposal.

    The seconds are those of telling what was measured last and asking for the next.
    """

    strategy: str
    seed: int
    key: str
    rows: list[int]
    cpu_s: list[float] = field(default_factory=list)
    wall_s: list[float] = field(default_factory=list)


class Backtest:
    """A backtest of one order. Raises SpecError when the order cannot be carried out."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.files = {LABLOOP: order.campaign.resolve(), **_files(order.against, order.campaign.resolve())}
        check_names([LABLOOP, *(one.partition("=")[0] for one in order.against)])
        self.spec = read_spec(order.campaign)
        self.measured = read_measured(order.table, self.spec)
        self.objective = Objective(self.spec)
        if not can_tell(self.measured.merit):
            raise SpecError(
                f"{order.table}: no condition that keeps the limits is better in every goal than the worst of them, so "
                "the front has no volume to score by. Give the goals weights, or take a table with more of the space"
            )
        self._specs = {name: self.spec if name in (LABLOOP, RANDOM) else read_spec(p) for name, p in self.files.items()}
        for name, spec in self._specs.items():
            if spec is not self.spec:
                _refuse_other(self.measured, read_measured(order.table, spec), self.files[name])
        if not 1 <= order.initial < len(self.measured):
            raise SpecError(f"--initial {order.initial}: must be at least 1 and below the table's {len(self.measured)}")
        if order.seeds < 1:
            raise SpecError(f"--seeds {order.seeds}: must be at least 1")
        wanted = order.trials if order.trials is not None else self.spec.budget.trials or 40
        self.trials = min(wanted, len(self.measured))
        self.batch = order.batch if order.batch is not None else self.spec.design.batch
        if self.batch < 1:
            raise SpecError(f"--batch {self.batch}: must be at least 1")
        if self.trials <= order.initial:
            raise SpecError(f"--trials {self.trials}: leaves nothing to propose after the first {order.initial}")
        self.courses: list[Course] = []

    def pieces(self) -> list[Piece]:
        """Every course that is not in the folder yet, seed by seed."""
        known = {(one.strategy, one.seed, one.key) for one in self._kept()}
        wanted = [
            Piece(
                name=name, campaign=path, table=self.order.table.resolve(), seed=seed, trials=self.trials,
                initial=self.order.initial, batch=self.batch, key=self._key(name),
            )
            for seed in range(self.order.seeds)
            for name, path in self.files.items()
        ]  # fmt: skip
        return [one for one in wanted if (one.name, one.seed, one.key) not in known]

    def run(self) -> Iterator[Course]:
        """Run what is missing, and give each course when it is done. Raises SpecError, PlannerError, StoreError."""
        keys = {name: self._key(name) for name in self.files}
        self.courses = [
            one for one in self._kept() if keys.get(one.strategy) == one.key and one.seed < self.order.seeds
        ]
        missing = self.pieces()
        if not missing:
            return
        self.order.folder.mkdir(parents=True, exist_ok=True)
        with (self.order.folder / COURSES).open("a+", encoding="utf-8") as file:
            file.seek(0)
            if file.read()[-1:] not in ("", "\n"):
                file.write("\n")  # a line that an end cut short stays by itself
            for course in as_done(self.order.jobs, play, missing):
                file.write(json.dumps(asdict(course)) + "\n")
                file.flush()
                self.courses.append(course)
                yield course

    def document(self) -> dict[str, Any]:
        """The figures as plain data: ``strategies`` by name, and what they were measured on."""
        return {
            "schema": 1,
            "campaign": self.spec.campaign,
            "table": {
                "file": self.order.table.name, "sha256": self.measured.sha256, "conditions": len(self.measured),
                "replicates": self.measured.replicates, "left_out": self.measured.left_out,
            },
            "trials": self.trials,
            "initial": self.order.initial,
            "batch": self.batch,
            "seeds": self.order.seeds,
            "goal": "hypervolume" if self.measured.pareto else "best",
            "version": __version__,
            "strategies": {name: self._figures(name) for name in self.files},
        }  # fmt: skip

    def _figures(self, name: str) -> dict[str, Any]:
        courses = sorted((one for one in self.courses if one.strategy == name), key=lambda one: one.seed)
        scores = [score(one.rows, self.measured.merit, self.order.initial) for one in courses]
        if not scores:
            return {"courses": 0}
        curves = np.array([one.curve for one in scores])
        figures: dict[str, Any] = {
            "courses": len(scores),
            "area": _spread([one.area for one in scores]),
            "last": _spread([one.curve[-1] for one in scores]),
            "curve": {
                str(at): [round(float(one), 5) for one in np.quantile(curves, at / 100.0, axis=0)]
                for at in (10, 25, 50, 75, 90)
            },
            "cpu_s": _spread([second for one in courses for second in one.cpu_s]),
            "wall_s": _spread([second for one in courses for second in one.wall_s]),
        }
        if not self.measured.pareto:
            beyond = self.trials + 1  # stands for "not reached": a mean over it is a lower bound
            for what in ("to_top", "to_best"):
                reached = [getattr(one, what) for one in scores]
                figures[what] = {
                    **_spread([beyond if one is None else one for one in reached]),
                    "reached": sum(one is not None for one in reached),
                }
            figures["best"] = self._best(courses)
        return figures

    def _best(self, courses: Sequence[Course]) -> dict[str, Any]:
        """The goals' values at each course's best row: quantiles over the courses."""
        found = []
        for course in courses:
            row = max(course.rows, key=lambda row: self.measured.merit[row, 0])
            found.append(self.measured.outcomes[row])
        return {name: _spread([one[name] for one in found]) for name in self.objective.goals}

    def _kept(self) -> list[Course]:
        path = self.order.folder / COURSES
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise SpecError(f"{path}: cannot be read ({error.strerror}). Give another folder with --out") from error
        except UnicodeDecodeError as error:
            raise SpecError(f"{path}: is no text (UTF-8). Give another folder with --out, or remove it") from error
        kept = []
        for line in lines:
            try:
                kept.append(Course(**json.loads(line)))
            except (ValueError, TypeError):  # the last line of a backtest that was killed while it wrote
                continue
        return kept

    def _key(self, name: str) -> str:
        """What a course depends on beside strategy and seed."""
        files = [self.files[name], *(path for _, path in sorted(self._specs[name].files.items()))]
        parts = (
            self.measured.sha256, *(sha256(path.read_bytes()).hexdigest() for path in files), self.trials,
            self.order.initial, self.batch, __version__,
        )  # fmt: skip
        return sha256(repr(parts).encode()).hexdigest()[:16]


def play(piece: Piece) -> Course:
    """Run one course. Raises SpecError, PlannerError."""
    spec = read_spec(piece.campaign)
    measured = read_measured(piece.table, spec)
    rows = first_rows(measured, piece.seed, piece.initial)
    plays = strategy(piece.name, spec, measured, seed=piece.seed, initial=piece.initial)
    plays.tell(rows)
    course = Course(strategy=piece.name, seed=piece.seed, key=piece.key, rows=list(rows))
    news: list[int] = []
    while len(course.rows) < piece.trials:
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        plays.tell(news)
        news = plays.ask(min(piece.batch, piece.trials - len(course.rows)))
        course.cpu_s.append(round(time.process_time() - cpu_s, 6))
        course.wall_s.append(round(time.perf_counter() - wall_s, 6))
        if not news:
            break
        course.rows.extend(news)
    return course


def first_rows(measured: Measured, seed: int, count: int) -> list[int]:
    """The rows that every strategy is told first, at one seed."""
    return [int(row) for row in np.random.default_rng([seed, 0]).permutation(len(measured))[:count]]


def _files(against: Sequence[str], campaign: Path) -> dict[str, Path]:
    files = {}
    for one in against:
        name, equals, path = one.partition("=")
        if equals and name != RANDOM:
            files[name] = Path(path).resolve()
        elif one != RANDOM:
            raise SpecError(f"--against {one}: write {RANDOM}, or NAME=FILE with another name and campaign file")
        else:
            files[name] = campaign
    return files


def _refuse_other(measured: Measured, other: Measured, path: Path) -> None:
    """Two campaigns are compared when they may measure the same rows and find the same of them good."""
    if measured.settings != other.settings:
        raise SpecError(
            f"{path}: of the table {len(other)} conditions lie in its space, and not the same {len(measured)} as in "
            "that of the campaign it is compared with. Give both the same parameters and constraints"
        )
    if not np.array_equal(measured.merit, other.merit):
        raise SpecError(
            f"{path}: orders the table's conditions otherwise than the campaign it is compared with. Give both the "
            "same goals, weights and limits"
        )


def _spread(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {}
    at = np.quantile(np.array(values, dtype=float), [0.1, 0.25, 0.5, 0.75, 0.9])
    names = ("p10", "p25", "median", "p75", "p90")
    return {"mean": round(fmean(values), 6)} | {name: round(float(one), 6) for name, one in zip(names, at, strict=True)}
