"""The bench that guards and aborts are tried on."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.runner.watched_bench import Bench


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Bench]]:
    monkeypatch.setattr("labloop.bench.rescue.READ_S", 60.0)  # and its guard is patient as well
    with ExitStack() as stack:
        yield lambda **values: Bench(tmp_path, stack, **values)
