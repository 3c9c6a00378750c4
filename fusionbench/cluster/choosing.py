"""The engine that a word names: an address of Ray, ``local``, ``slurm``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fusionbench.errors import FusionbenchError
from fusionbench.runtime.addresses import shown_of

if TYPE_CHECKING:
    from fusionbench.cluster.engines import Engine

THREADS = 4  # of a unit on a graphics card, which read and write files beside it


def check_cluster(cluster: str | None, slurm: Sequence[str]) -> None:
    """Refuse a cluster for which something is not installed, and options of another one.

    Raises:
        FusionbenchError: it cannot be used.
    """
    if cluster is not None and not cluster.strip():  # a script's variable that is not set would mean this machine
        raise FusionbenchError("cluster=: names none; give an address, local or slurm")
    if cluster and shown_of(cluster) != cluster:  # the command is kept beside the results
        raise FusionbenchError(f"cluster={shown_of(cluster)}: an address holds no user, password or token")
    if slurm and cluster != "slurm":
        raise FusionbenchError(f"slurm={slurm[0]}: is for cluster=slurm")
    if cluster == "slurm":
        from fusionbench.cluster.on_slurm import Slurm

        Slurm(slurm, "cpu", 1)  # says what is wrong with the options
    elif cluster:
        from fusionbench.cluster.on_ray import check_installed

        check_installed(cluster)


def threads_of(jobs: int, device: str) -> int:
    """Threads of each unit, where so many were asked for; 0 for what suits the device."""
    return jobs or (1 if device == "cpu" else THREADS)


@contextmanager
def engine_of(cluster: str, slurm: Sequence[str], device: str, threads: int) -> Iterator[Engine]:
    """The engine that a word names.

    Raises:
        FusionbenchError: it cannot be reached.
    """
    from fusionbench.cluster.on_ray import Ray
    from fusionbench.cluster.on_slurm import Slurm

    with Slurm(slurm, device, threads) if cluster == "slurm" else Ray(cluster, device, threads) as engine:
        yield engine
