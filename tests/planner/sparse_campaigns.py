"""Campaigns of many parameters of which few matter: ``python tests/planner/sparse_campaigns.py [SEEDS]``.

Thirty parameters; Hartmann's function of three of them, and minus the logarithm of Branin's of two. 15 random points,
then 35 proposals, noise of 0.05; the plain model and ``engine: {model: saas}`` on the same points and noise. Prints the
best true value after 30 and 50 trials, the mean of paired seeds (12), and the seconds of CPU that a proposal takes.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from labloop.planner.process import ONE_THREAD

os.environ.update(ONE_THREAD)  # before numpy is loaded

import numpy as np
import numpy.typing as npt

import labloop

DIMENSIONS, RANDOM, TRIALS, AT = 30, 15, 50, (30, 50)
Array = npt.NDArray[np.float64]


def hartmann(x: Array) -> float:
    weights = np.array([1.0, 1.2, 3.0, 3.2])
    rates = np.array([[3.0, 10.0, 30.0], [0.1, 10.0, 35.0], [3.0, 10.0, 30.0], [0.1, 10.0, 35.0]])
    centres = 1e-4 * np.array([[3689, 1170, 2673], [4699, 4387, 7470], [1091, 8732, 5547], [381, 5743, 8828]])
    return float(weights @ np.exp(-(rates * (x[:3] - centres) ** 2).sum(1)))


def branin(x: Array) -> float:
    u, v = 15.0 * x[0] - 5.0, 15.0 * x[1]
    hill = (v - 5.1 * u**2 / (4 * np.pi**2) + 5 * u / np.pi - 6) ** 2
    return -float(np.log(hill + 10 * (1 - 1 / (8 * np.pi)) * np.cos(u) + 10))


def course(function: Callable[[Array], float], model: str, seed: int) -> tuple[list[float], float]:
    """The best true value after so many trials, and the seconds of a proposal."""
    names = [f"x{at}" for at in range(DIMENSIONS)]
    campaign = labloop.Campaign(
        {
            "labloop": 1,
            "campaign": "sparse",
            "parameters": {name: {"range": [0, 1]} for name in names},
            "outcomes": {"y": {"goal": "maximize", "from": "told"}},
            "design": {"initial": {"method": "random", "trials": RANDOM}, "seed": seed},
            "budget": {"trials": TRIALS},
            "engine": {"model": model},
        },
        planner="inline",
    )
    generator = np.random.default_rng(seed)
    noise = 0.05 * generator.standard_normal(TRIALS)
    order = generator.permutation(DIMENSIONS)  # which of them matter
    values, spent = [], 0.0
    for at in range(TRIALS):
        before = time.process_time()
        proposal = campaign.ask()[0]
        spent += (time.process_time() - before) * (at >= RANDOM)
        values.append(function(np.array([float(proposal.settings[name]) for name in names])[order]))
        campaign.tell(proposal.trial, {"y": values[-1] + noise[at]})
    return [max(values[:at]) for at in AT], spent / (TRIALS - RANDOM)


def main(seeds: int) -> None:
    say = sys.stdout.write
    say("| function | trials | saas | plain | difference | better in | a proposal, s |\n")
    say(f"|{'---|' * 7}\n")
    for name, function in (("Hartmann's", hartmann), ("minus log Branin's", branin)):
        pairs = [(course(function, "saas", seed), course(function, "plain", seed)) for seed in range(seeds)]
        for which, at in enumerate(AT):
            mine, plain = (np.array([pair[one][0][which] for pair in pairs]) for one in (0, 1))
            by = mine - plain
            seconds = "{:.3f} for {:.3f}".format(*(float(np.mean([pair[one][1] for pair in pairs])) for one in (0, 1)))
            error = by.std(ddof=1) / len(by) ** 0.5
            say(f"| {name} | {at} | {mine.mean():.2f} | {plain.mean():.2f} | {by.mean():+.2f} +- {error:.2f} ")
            say(f"| {(by > 0).sum()} of {len(by)} | {seconds} |\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 12)
