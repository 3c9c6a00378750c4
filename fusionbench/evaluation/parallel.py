"""Work on several items at once, with results in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def parallel(jobs: int, work: Callable[[T], R], items: Iterable[T]) -> Iterator[tuple[T, Future[R]]]:
    """Results in the order of `items`, at most a few waiting; on an error or Ctrl-C nothing further is begun."""
    with ThreadPoolExecutor(jobs) as pool:
        waiting: list[tuple[T, Future[R]]] = []
        try:
            for item in items:
                waiting.append((item, pool.submit(work, item)))
                if len(waiting) >= 4 * jobs:
                    yield _ended(waiting.pop(0))
            while waiting:
                yield _ended(waiting.pop(0))
        finally:
            for _, future in waiting:
                future.cancel()


def _ended(job: tuple[T, Future[R]]) -> tuple[T, Future[R]]:
    job[1].exception()  # waits; what was raised is looked at by the caller, also a plugin's SystemExit
    return job
