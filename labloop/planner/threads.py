"""One thread for linear algebra, whoever loaded the library first.

OpenMP's threads spin for a core that a neighbour has, and made fits 5 to 25 times slower on a busy machine; and a sum
over another number of threads has other last digits. The planner's own process says so in its environment before
anything is loaded; in the caller's process (notebooks, benchmarks) numpy is there already, hence this.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController


@cache
def _pools() -> ThreadpoolController:
    return ThreadpoolController()


@contextmanager
def one_thread() -> Iterator[None]:
    """Linear algebra on one thread, as many as before afterwards."""
    with _pools().limit(limits=1, user_api="blas"):
        yield
