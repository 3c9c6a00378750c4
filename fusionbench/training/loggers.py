"""Where curves and pictures of a training run go besides its own files: TensorBoard, W&B, MLflow, behind one interface.

A further one is a class with these three methods and a line in :data:`LOGGERS`. None decides anything of a run, and one
that fails is named and left. Their files lie in the run's folder; nothing leaves the machine unless the user says so.
"""

from __future__ import annotations

import importlib.util
import json
import math
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fusionbench.errors import FusionbenchError, find
from fusionbench.runtime.addresses import shown_of
from fusionbench.training.options import Note

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

PROJECT = "fusionbench"  # of W&B; the experiment of MLflow
OFFLINE = "offline"


@dataclass(frozen=True, kw_only=True)
class Session:
    """What a logger is told when it begins.

    Attributes:
        folder: of the run.
        step: steps done so far; those behind it will be done again.
        settings: of the recipe, as plain data.
        place: where it writes to: a mode of W&B, an address of MLflow; "" for a folder in the run's.
    """

    folder: Path
    step: int
    settings: Mapping[str, Any]
    place: str = ""

    @property
    def name(self) -> str:
        """Of the run."""
        return self.folder.resolve().name

    def ident(self, kind: str, new: Callable[[], str]) -> str:
        """What a logger calls this run, kept in the run's folder, so that a resumed run is the same one."""
        path = self.folder / f"{kind}.id"
        if path.is_file():
            return path.read_text(encoding="utf-8").strip()[:100]
        ident = new()
        path.write_text(ident + "\n", encoding="utf-8")
        return ident


class Logger(Protocol):
    """Takes what a run has to show; called in the first process alone."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Finite values by name, after so many steps."""

    def picture(self, step: int, name: str, image: np.ndarray, path: Path) -> None:
        """A picture, uint8 ``[1,H,W]`` or ``[3,H,W]``, and its file in the run's folder."""

    def close(self) -> None:
        """The run has ended, or pauses."""


class TensorBoard:
    """Event files in ``tensorboard/``."""

    def __init__(self, session: Session) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.board: SummaryWriter = SummaryWriter(str(session.folder / "tensorboard"), purge_step=session.step)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """One curve for each name."""
        for name, value in values.items():
            self.board.add_scalar(name, value, step)

    def picture(self, step: int, name: str, image: np.ndarray, path: Path) -> None:
        """Among the images."""
        self.board.add_image(name, image, step)

    def close(self) -> None:
        """Write what is left."""
        self.board.close()


class WandB:
    """Weights & Biases: files in ``wandb/`` for ``wandb sync``, or online where ``WANDB_MODE`` says so.

    It is told nothing of the machine: no host, user, command line, repository, console or code.
    """

    def __init__(self, session: Session) -> None:
        wandb = importlib.import_module("wandb")
        settings = wandb.Settings(
            console="off",
            disable_code=True,
            disable_git=True,
            silent=True,
            x_disable_machine_info=True,
            x_disable_meta=True,
            x_disable_stats=True,
        )
        self.image = wandb.Image
        self.run = wandb.init(
            project=PROJECT,
            name=session.name,
            dir=str(session.folder),
            mode=session.place or OFFLINE,
            config=dict(session.settings),
            settings=settings,
            id=session.ident("wandb", lambda: uuid.uuid4().hex[:8]),
            resume="allow",
        )

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """One chart for each name."""
        self.run.log(dict(values), step=step)

    def picture(self, step: int, name: str, image: np.ndarray, path: Path) -> None:
        """Among the media."""
        self.run.log({name: self.image(image.transpose(1, 2, 0) if image.shape[0] == 3 else image[0])}, step=step)

    def close(self) -> None:
        """Ends this session of the run."""
        self.run.finish()


class MLflow:
    """MLflow: files in ``mlflow/`` for ``mlflow ui``, or a server where ``MLFLOW_TRACKING_URI`` says so."""

    def __init__(self, session: Session) -> None:
        mlflow = importlib.import_module("mlflow")
        self.client = mlflow.MlflowClient(tracking_uri=session.place or (session.folder / "mlflow").resolve().as_uri())
        self.ident = session.ident("mlflow", lambda: self._new(session))
        self.client.update_run(self.ident, status="RUNNING")

    def _new(self, session: Session) -> str:
        there = self.client.get_experiment_by_name(PROJECT)
        experiment = there.experiment_id if there else self.client.create_experiment(PROJECT)
        ident: str = self.client.create_run(experiment, run_name=session.name).info.run_id
        for name, value in session.settings.items():
            self.client.log_param(ident, name, value if isinstance(value, str) else json.dumps(value))
        return ident

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """One metric for each name."""
        for name, value in values.items():
            self.client.log_metric(self.ident, name, value, step=step)

    def picture(self, step: int, name: str, image: np.ndarray, path: Path) -> None:
        """The file itself, among the artifacts."""
        self.client.log_artifact(self.ident, str(path), f"pictures/{name}")

    def close(self) -> None:
        """Ends this session of the run."""
        self.client.set_terminated(self.ident)


LOGGERS: dict[str, tuple[str, Callable[[Session], Logger]]] = {  # with the package that each needs
    "tensorboard": ("tensorboard", TensorBoard),
    "wandb": ("wandb", WandB),
    "mlflow": ("mlflow", MLflow),
}
TITLES = {"wandb": ("W&B", "Weights & Biases")}
EXTRA = {"tensorboard": "tasks", "wandb": "loggers", "mlflow": "loggers"}


def named(names: Mapping[str, str]) -> dict[str, str]:
    """The loggers that were asked for, by their own names, with where each writes to; nothing is loaded.

    Raises:
        FusionbenchError: no such logger, or its package is not installed.
    """
    chosen = {find(name, LOGGERS, "no logger", TITLES): place for name, place in names.items()}
    for name in chosen:
        package = LOGGERS[name][0]
        if importlib.util.find_spec(package) is None:
            raise FusionbenchError(
                f"logger={name}: {package} is not installed: pip install 'ivif-fusionbench[{EXTRA[name]}]'"
            )
    return chosen


def asked(chosen: Mapping[str, str], tensorboard: bool, folder: Path, note: Note) -> dict[str, str]:
    """What a run's loggers are: those asked for, and TensorBoard where the recipe has it and it is installed."""
    if tensorboard and "tensorboard" not in chosen:
        try:
            importlib.import_module("torch.utils.tensorboard")
        except ImportError:
            note(f"TensorBoard is not installed; the losses are in {folder / 'log.jsonl'}")
        else:
            return {"tensorboard": "", **chosen}
    return dict(chosen)


class Loggers:
    """All loggers of a run; one that fails is named once, and left.

    Args:
        chosen: name to where it writes to, from :func:`named`.
        session: what each is told.
        note: takes remarks.
    """

    def __init__(self, chosen: Mapping[str, str], session: Session, note: Note) -> None:
        self.note = note
        self.open: dict[str, Logger] = {}
        for name, place in chosen.items():
            if logger := self._tried(name, partial(LOGGERS[name][1], replace(session, place=place))):
                self.open[name] = logger

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Values by name; those that are not finite are in the run's own log alone."""
        finite = {name: float(value) for name, value in values.items() if math.isfinite(value)}
        for name, logger in list(self.open.items()):
            self._tried(name, partial(logger.scalars, step, finite))

    def picture(self, step: int, name: str, image: np.ndarray, path: Path) -> None:
        """A picture, uint8 ``[H,W]``, ``[1,H,W]`` or ``[3,H,W]``, and its file."""
        image = image if image.ndim == 3 else image[None]
        for own, logger in list(self.open.items()):
            self._tried(own, partial(logger.picture, step, name, image, path))

    def close(self) -> None:
        """Close all."""
        for name, logger in list(self.open.items()):
            self._tried(name, logger.close)
        self.open = {}

    def _tried(self, name: str, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except Exception as error:  # of any package: a run of days does not end for a curve
            self.open.pop(name, None)
            text = " ".join(map(shown_of, str(error).split()))[:200]  # addresses of servers may hold passwords
            self.note(f"logger={name}: stopped, the run goes on without it ({type(error).__name__}: {text})")
            return None
