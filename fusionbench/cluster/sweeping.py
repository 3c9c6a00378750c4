"""The runs of a sweep as units: what one leaves comes to lie where it would lie if it had been trained here."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from fusionbench.cluster.engines import Ended, Engine
from fusionbench.cluster.trying import do_all
from fusionbench.cluster.units import Place, Training
from fusionbench.errors import FusionbenchError
from fusionbench.plugins import weights
from fusionbench.training.request import TrainRequest
from fusionbench.training.sweep import Run


def train_all(
    engine: Engine, runs: Sequence[Run], place: Place, command: str, note: Callable[[str], None], here: Sequence[str]
) -> dict[str, str]:
    """Train what is not finished.

    Args:
        engine: where.
        runs: of :func:`fusionbench.training.sweep.plan`.
        place: of this process.
        command: for the provenance.
        note: takes remarks.
        here: the devices of this machine, should the cluster disappear.

    Returns:
        Name of each run that failed, to the reason.
    """
    failed: dict[str, str] = {}
    todo = {run.name: run for run in runs if not run.finished()}

    def take(unit: Training, ended: Ended, folder: Path) -> None:
        try:
            if ended.reason:
                raise FusionbenchError(ended.reason)
            _keep(todo[unit.name].request, folder)
            note(f"{unit.name}: finished")
        except (FusionbenchError, OSError) as error:
            failed[unit.name] = str(error)
            note(f"failed: {unit.name}: {error}")

    units = [
        Training(name=name, place=place, device=run.request.device, command=command, request=_portable(run.request))
        for name, run in todo.items()
    ]
    folder = runs[0].request.out.parent
    folder.mkdir(parents=True, exist_ok=True)
    do_all(engine, units, folder, take, note, here)
    return failed


def _portable(request: TrainRequest) -> TrainRequest:
    """The request with folders that are the same wherever a process begins."""
    specs = [spec.partition("=") for spec in request.datasets]
    return replace(
        request,
        datasets=tuple(f"{name}={Path(text).absolute()}" if text else name for name, _, text in specs),
        start=str(Path(request.start).absolute()) if Path(request.start).exists() and request.start else request.start,
    )


def _keep(request: TrainRequest, folder: Path) -> None:
    """Put a run's folder in its place, and make a method's weights an entry here.

    Raises:
        FusionbenchError: the weights are not those of the run.
    """
    if request.out.exists():  # begun here before, and not finished
        shutil.rmtree(request.out)
    shutil.move(folder, request.out)
    if request.training.card.kind == "method":
        name = request.weights_name
        weights.add(request.name, request.weights, name, request.trained_on(), replace=True)
