"""A Ray cluster, spoken to from a process of its own: a cluster that goes may take that process down with it."""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from fusionbench import environment
from fusionbench.cluster.engines import ClusterGone, Ended, attempt
from fusionbench.cluster.packing import packed, received
from fusionbench.cluster.units import Unit
from fusionbench.errors import FusionbenchError
from fusionbench.runtime.device import device_kind

NONE = "needs the package ray: pip install 'ivif-fusionbench[ray]'"
STORE = 256 << 20  # bytes of shared memory of a local cluster; what does not fit goes to its private folder
KNOCK, START = 10.0, 300.0  # seconds that a port has to answer, and a cluster
AHEAD = 2  # units given to the cluster for each place in it


def check_installed(address: str) -> None:
    """Look for the package, without importing it.

    Raises:
        FusionbenchError: it is not here.
    """
    if importlib.util.find_spec("ray") is None:
        raise FusionbenchError(f"cluster={address}: {NONE}")


def _check_reachable(address: str) -> None:
    """Knock where an address names a port: Ray itself would wait for minutes.

    Raises:
        FusionbenchError: nobody answers there.
    """
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if not colon or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), KNOCK).close()
    except (OSError, OverflowError) as error:
        raise FusionbenchError(f"cluster={address}: the cluster cannot be reached ({error})") from None


class Ray:
    """A connection to a cluster; a context.

    Args:
        address: of the cluster (``host:6379`` on one of its machines, ``ray://host:10001`` from elsewhere), or
            ``local`` for one of this machine, which ends with this run.
        device: of the units: a card each, or processors.
        jobs: processors of each unit.

    Raises:
        FusionbenchError: no ray, or no such cluster.
    """

    def __init__(self, address: str, device: str, jobs: int) -> None:
        check_installed(address)
        _check_reachable(address)
        self.address, self.device = address, device_kind(device)
        self._private = tempfile.TemporaryDirectory(prefix="fb-")  # 0700; a short name, as sockets lie in it
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        words = (address, self.device, max(1, jobs), Path(self._private.name))
        self._process = context.Process(target=_serve, args=(theirs, *words))
        self._process.start()
        theirs.close()
        self.slots = 0
        try:
            self.slots = self._answer()
        except ClusterGone as error:
            self.close()
            raise FusionbenchError(f"cluster={address}: {error}") from None
        except BaseException:
            self.close()
            raise

    def _answer(self) -> Any:
        """What the process says.

        Raises:
            ClusterGone: it does not, or that it cannot go on.
        """
        try:
            if not self.slots and not self._connection.poll(START):
                raise EOFError
            said = self._connection.recv()
        except (EOFError, OSError):
            if self.slots:
                raise ClusterGone("the cluster is gone") from None
            log = Path(self._private.name, "log")
            lines = log.read_text(errors="replace").split("\n") if log.is_file() else []
            why = next((line.strip() for line in reversed(lines) if line.strip()), "no answer")
            raise ClusterGone(f"the cluster cannot be reached ({why[-200:]})") from None
        if isinstance(said, str):
            raise ClusterGone(said)
        return said

    def run(self, units: Sequence[Unit], folder: Path) -> Iterator[Ended]:
        """Do units on the cluster."""
        own = [replace(unit, device=self.device) for unit in units]
        with suppress(OSError):  # the process is gone, which `_answer` tells
            self._connection.send((own, folder))
        for _ in units:
            ended: Ended = self._answer()
            yield ended

    def close(self) -> None:
        """Leave the cluster; one of this machine ends."""
        self._connection.close()  # it ends by itself when nobody asks any more
        self._process.join(20)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        with suppress(OSError):  # processes of a cluster that died may still write
            self._private.cleanup()

    def __enter__(self) -> Ray:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _serve(connection: Connection, address: str, device: str, jobs: int, private: Path) -> None:
    """The process that speaks to the cluster; whatever it and Ray print goes into a private file."""
    log = os.open(private / "log", os.O_WRONLY | os.O_CREAT, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        _speak(connection, address, device, jobs, private)
    finally:
        shutil.rmtree(private, ignore_errors=True)  # who asked may have been killed


def _speak(connection: Connection, address: str, device: str, jobs: int, private: Path) -> None:
    """Join the cluster, say how many units it takes at once, then do what is sent until nobody sends any more."""
    more: dict[str, Any] = {"address": address}
    environment.for_ray(own=address == "local")
    if address == "local":
        more |= {"include_dashboard": False, "_temp_dir": str(private / "ray"), "object_store_memory": STORE}
    with suppress(EOFError, OSError, KeyboardInterrupt):
        try:
            import ray

            ray.init(log_to_driver=False, configure_logging=False, **more)
            there = _resources(ray)
        except Exception as error:  # of Ray, in many kinds
            connection.send(f"the cluster cannot be reached ({' '.join(str(error).split())[:200]})")
            return
        slots = int(there.get("GPU", 0) if device != "cpu" else there.get("CPU", 0) // jobs)
        if not slots:
            connection.send(f"it has no {'processor' if device == 'cpu' else 'graphics card'} for a unit: {there}")
            return
        connection.send(slots)
        asked = ray.remote(num_cpus=jobs, num_gpus=int(device != "cpu"), max_retries=0)(_packed)
        try:
            while True:
                _do(ray, asked, connection, slots, *connection.recv())
        finally:
            ray.shutdown()


def _do(ray: Any, asked: Any, connection: Connection, slots: int, units: Sequence[Unit], folder: Path) -> None:
    """Give units to the cluster, some ahead, and write what comes back."""
    waiting = list(enumerate(units))[::-1]
    given: dict[Any, int] = {}
    while waiting or given:
        while waiting and len(given) < AHEAD * slots:
            number, unit = waiting.pop()
            try:
                given[asked.remote(unit.sent())] = number  # what is sent lies in Ray's object store until it is done
            except FusionbenchError as error:
                connection.send(Ended(number, str(error)))
        if not given:
            continue
        ended, _ = ray.wait(list(given), num_returns=1, timeout=5)
        if not ended and not any(_resources(ray).get(kind, 0) for kind in ("CPU", "GPU")):
            connection.send("no machine is left in the cluster")
            raise EOFError
        for reference in ended:
            number = given.pop(reference)
            try:
                answer = ray.get(reference)
            except ray.exceptions.RayTaskError as error:  # its code could not even begin
                connection.send(Ended(number, f"a worker could not begin: {' '.join(str(error.cause).split())[:300]}"))
                continue
            except ray.exceptions.RayError as error:
                text = " ".join(str(error).split())[:200]
                connection.send(Ended(number, f"its worker died ({type(error).__name__}: {text})", died=True))
                continue
            try:
                reason = received(answer, folder / str(number))
            except FusionbenchError as error:
                reason = str(error)
            connection.send(Ended(number, reason))
            del answer


def _resources(ray: Any) -> dict[str, float]:
    """Of the cluster: ``CPU``, ``GPU`` to how many."""
    found: dict[str, float] = ray.cluster_resources()
    return found


def _packed(unit: Unit) -> tuple[str, bytes]:
    """What a worker does: why it could not, or its folder."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "unit")
        reason = attempt(unit, folder)
        return reason, b"" if reason else packed(folder)
