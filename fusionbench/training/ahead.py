"""Results in order while threads compute a few ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

X = TypeVar("X")
Y = TypeVar("Y")


def ahead(compute: Callable[[X], Y], inputs: Iterable[X], workers: int) -> Generator[Y, None, None]:
    """What ``compute`` gives for each input, in order; with workers, threads compute at most twice as many ahead."""
    if not workers:
        yield from map(compute, inputs)
        return
    pool, waiting = ThreadPoolExecutor(workers), deque[Future[Y]]()
    try:
        for item in inputs:
            waiting.append(pool.submit(compute, item))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
