"""A process for each device of this machine; one that dies is replaced."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from fusionbench.cluster.engines import Ended, attempt
from fusionbench.cluster.units import Unit


class Processes:
    """As many processes as devices, each with one unit at a time.

    Args:
        devices: e.g. ``cuda:0``, ``cuda:1``; one may stand there several times.
    """

    def __init__(self, devices: Sequence[str]) -> None:
        self.devices, self.slots = tuple(devices), len(devices)

    def run(self, units: Sequence[Unit], folder: Path) -> Iterator[Ended]:
        """Do units, whichever device is free next."""
        waiting = deque(enumerate(units))
        workers: dict[Any, _Worker] = {}
        try:
            for device in self.devices[: len(units)]:
                worker = _Worker(device)
                workers[worker.connection] = worker
                worker.give(*waiting.popleft(), folder)
            while workers:
                for connection in wait(list(workers)):
                    worker = workers.pop(connection)
                    ended = worker.take()
                    if ended.died and waiting:
                        worker = _Worker(worker.device)
                    if waiting:
                        worker.give(*waiting.popleft(), folder)
                        workers[worker.connection] = worker
                    else:
                        worker.end()
                    yield ended
        finally:
            for worker in workers.values():
                worker.end()


class _Worker:
    """A process of one device."""

    def __init__(self, device: str) -> None:
        context = multiprocessing.get_context("spawn")
        self.device, self.number = device, -1
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,))
        self.process.start()
        theirs.close()

    def give(self, number: int, unit: Unit, folder: Path) -> None:
        """Begin a unit."""
        self.number = number
        with suppress(OSError):  # it has died already, which `take` tells
            self.connection.send((replace(unit, device=self.device), folder / str(number)))

    def take(self) -> Ended:
        """How the unit ended."""
        try:
            return Ended(self.number, self.connection.recv())
        except (EOFError, OSError):
            self.process.join()
            return Ended(self.number, f"its process died ({_code(self.process.exitcode)})", died=True)

    def end(self) -> None:
        """End the process, whatever it does."""
        self.process.terminate()
        self.process.join()
        self.connection.close()


def _code(code: int | None) -> str:
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"


def _serve(connection: Connection) -> None:
    """Do what is sent until nobody sends any more."""
    with suppress(EOFError, OSError, KeyboardInterrupt):
        while True:
            unit, folder = connection.recv()
            connection.send(attempt(unit, folder))
