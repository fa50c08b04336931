"""Independent pieces of work, done at once: on this machine by joblib, on a cluster by Ray.

    "1"                 here, in this process, one after the other
    "4", "-1"           so many processes (-1: one a core), by joblib's loky
    "ray"               Ray on this machine (the ``ray`` extra)
    "ray://host:10001"  a Ray cluster

Each worker does its arithmetic on one thread: several pieces at once share no core.
"""

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeVar

import joblib

from labloop.campaign.errors import SpecError

T = TypeVar("T")
R = TypeVar("R")


def as_done(jobs: str, work: Callable[[T], R], pieces: Sequence[T]) -> Iterator[R]:
    """What ``work`` makes of each piece, as soon as it is done, in any order.

    Raises SpecError for ``jobs`` that mean nothing or need what is not installed, and whatever ``work`` raises.
    """
    if jobs.startswith("ray"):
        yield from _by_ray(jobs, work, pieces)
        return
    try:
        count = int(jobs)
    except ValueError:
        count = 0
    if count == 0 or count < -1:
        raise SpecError(f"--jobs {jobs}: write how many processes (-1: one a core), ray, or ray://host:port")
    if count == 1 or len(pieces) < 2:
        yield from map(work, pieces)
        return
    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        run = joblib.Parallel(n_jobs=min(count, len(pieces)), return_as="generator_unordered")
        yield from run(joblib.delayed(work)(piece) for piece in pieces)


def _by_ray(jobs: str, work: Callable[[T], R], pieces: Sequence[T]) -> Iterator[R]:
    if jobs != "ray" and not jobs.startswith("ray://"):
        raise SpecError(f"--jobs {jobs}: write ray, or ray://host:port")
    if find_spec("ray") is None:
        raise SpecError(f"--jobs {jobs} needs Ray, which is not installed. Install it: pip install 'labloop[ray]'")
    ray: Any = import_module("ray")
    began = not ray.is_initialized()
    if began:
        ray.init(address=None if jobs == "ray" else jobs, logging_level="ERROR", include_dashboard=False)
    try:
        remote = ray.remote(num_cpus=1)(work)
        waiting = [remote.remote(piece) for piece in pieces]
        while waiting:
            done, waiting = ray.wait(waiting, num_returns=1)
            yield from ray.get(done)
    finally:
        if began:
            ray.shutdown()
