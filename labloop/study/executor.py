"""Independent pieces of work, done at once: on this machine by joblib, on a cluster by Ray.

    "1"                 here, in this process, one after the other
    "4", "-1"           so many processes (-1: one a core), by joblib's loky
    "ray"               Ray on this machine (the ``ray`` extra)
    "ray://host:10001"  a Ray cluster

Each worker does its arithmetic on one thread: several pieces at once share no core. A worker of joblib's ends with the
process that began it, however that ends; left to itself it would go on with its piece, and then wait for minutes.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, TypeVar

import joblib

from labloop.campaign.errors import SpecError

T = TypeVar("T")
R = TypeVar("R")

# How long a worker may outlive a process that was killed: a look costs microseconds.
LOOK_S: Final = 0.5


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
        yield from run(joblib.delayed(partial(_for, os.getpid(), work))(piece) for piece in pieces)


def _for(parent: int, work: Callable[[T], R], piece: T) -> R:
    """Do a piece in a worker of ``parent``'s."""
    _end_with(parent)
    return work(piece)


@cache
def _end_with(parent: int) -> None:
    """From now on this process ends when its parent is gone. (On Windows a process keeps its parent's number.)"""
    threading.Thread(target=_watch, args=(parent,), daemon=True, name="parent").start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_S)
    os._exit(1)


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
