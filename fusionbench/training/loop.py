"""The loop: plan an epoch, load, step, log, save. Everything it must remember is in one :class:`Checkpoint`."""

from __future__ import annotations

import json
import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fusionbench.errors import FusionbenchError
from fusionbench.results import provenance
from fusionbench.training import distributed
from fusionbench.training.checkpoint import Checkpoint, Keeper, get_rng, put_back, seed_all, set_rng, unfit
from fusionbench.training.config import Settings, changed, config_text
from fusionbench.training.logs import Logs, Note, Progress, duration, to_stderr
from fusionbench.training.order import Step, digest
from fusionbench.training.precision import Precision
from fusionbench.training.recipe import Recipe
from fusionbench.training.trouble import explained, not_finite, signals


@dataclass(frozen=True)
class Result:
    """How a call of :func:`train` ended.

    Attributes:
        finished: whether all epochs are done.
        step: steps done in all.
        best: best score (negative mean loss of an epoch where the recipe has no score), or None.
        checkpoint: the newest checkpoint.
        first: whether this is the first process, which writes files.
    """

    finished: bool
    step: int
    best: float | None
    checkpoint: Path
    first: bool = True


def train(
    recipe: Recipe,
    config: Any,
    out: Path,
    resume: bool = False,
    *,
    device: str = "cpu",
    max_steps: int | None = None,
    max_seconds: float | None = None,
    command: str = "",
    quiet: bool = False,
    note: Note = to_stderr,
) -> Result:
    """Train, or go on with training.

    Args:
        recipe: what to train.
        config: its settings, an ``mmengine.Config`` or a dict; those of the loop itself are in the section ``train``.
        out: folder of the run: checkpoints, ``log.jsonl``, pictures, config.
        resume: go on from the newest checkpoint in ``out``; from the beginning when a run was killed before its first.
        device: ``cpu``, ``cuda`` or ``cuda:N``. Under torchrun, ``cuda`` is the GPU of the local rank.
        max_steps: stop (with a checkpoint) when so many steps are done in all.
        max_seconds: stop likewise after so much time in this call.
        command: for the provenance.
        quiet: no progress bar.
        note: takes remarks, one line each; from the first process only.

    Raises:
        FusionbenchError: something the user can mend, most of it before the first step; a loss that is not finite; no
            memory left.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, when the checkpoint is saved.
    """
    with distributed.group(device) as place:
        run = _Run(recipe, config, Path(out), place, note)
        run.prepare(resume)
        run.open(command)
        try:
            with signals() as interrupted:
                return run.go(interrupted, max_steps, max_seconds, quiet)
        finally:
            run.logs.close()


class _Run:
    """One call of :func:`train`. ``at`` is the present moment; saving it only adds the states."""

    logs: Logs
    steps: list[Step]

    def __init__(self, recipe: Recipe, config: Any, out: Path, place: torch.device, note: Note) -> None:
        self.settings = Settings.of(config)
        self.recipe, self.config, self.out, self.place = recipe, config, out, place
        self.rank, self.world = distributed.rank(), distributed.world()
        self.first = self.rank == 0
        self.say: Note = note if self.first else lambda text: None
        self.keeper = Keeper(out)
        self.at = Checkpoint({}, {}, [], config_text(config), "", world=self.world)
        self.saved = -1  # the step of the newest checkpoint
        self.names: list[str] = []  # samples of the newest batch

    # ------------------------------------------------------------ before the first step

    def prepare(self, resume: bool) -> None:
        """Build, check, and go back to a checkpoint's moment."""
        try:
            self.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FusionbenchError(f"{self.out}: cannot be written ({error.strerror}); choose another --out") from None
        if not resume and self.keeper.found():
            raise FusionbenchError(f"{self.out}: holds a training run; go on with --resume, or choose another --out")
        checkpoint = self.keeper.latest(self.say) if resume else None
        if checkpoint and (differing := changed(checkpoint.config, self.at.config)):
            raise FusionbenchError(
                f"{self.out}: the run has other settings: {'; '.join(differing[:5])}; "
                "resume with its own, or choose another --out"
            )
        seed_all(self.settings.seed)  # the same weights in every process
        self.recipe.precision = Precision(self.settings.precision, self.place)
        with self.explained("while building the networks"):
            self.recipe.build(self.config, self.place)
        self.recipe.check()
        self.plan(checkpoint.epoch if checkpoint else 0)
        distributed.join(x for x in self.recipe.state().values() if isinstance(x, nn.Module))
        seed_all(self.settings.seed + self.rank)
        if checkpoint:
            self.restore(checkpoint)
        elif resume:
            self.say(f"{self.out}: no checkpoint yet; training starts at the beginning")

    def restore(self, checkpoint: Checkpoint) -> None:
        if checkpoint.order != self.at.order:
            raise FusionbenchError(
                f"{self.out}: the training images or their order differ from those of the run; "
                "bring them back, or choose another --out"
            )
        put_back(self.recipe.state(), checkpoint.state)
        checkpoint.state = {}
        self.recipe.precision.load_state_dict(checkpoint.precision)
        if len(checkpoint.rng) == self.world:
            set_rng(checkpoint.rng[self.rank])
        else:
            self.say(f"resumed by {self.world} processes, the run had {checkpoint.world}: random numbers start anew")
        self.at, self.saved = checkpoint, checkpoint.step
        self.at.world, self.at.config = self.world, config_text(self.config)

    def plan(self, epoch: int) -> None:
        """Ask for the steps of an epoch. A finished run keeps the plan of an epoch more, which is never run."""
        self.steps = list(self.recipe.batches(epoch, self.settings.seed))
        if not self.steps:
            raise FusionbenchError(f"epoch {epoch + 1} has no steps: the training set is empty, or below one batch")
        for step in self.steps:
            step.share(self.rank, self.world)
        self.at.order = digest([self.recipe.names(step) for step in self.steps], self.steps)

    def open(self, command: str) -> None:
        """Open the logs, and write down what this session is."""
        at = self.at
        self.logs = Logs(self.out, at.log_bytes, self.settings.tensorboard, at.step, self.first, self.say)
        if self.first:
            (self.out / "config.json").write_text(at.config, encoding="utf-8")
            plan = {"from_step": at.step, "processes": self.world, "device": str(self.place)}
            session = provenance.session(command, provenance.now()).plain()
            session |= {"seed": self.settings.seed, "plan": plan}
            with (self.out / "sessions.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(session) + "\n")

    # ------------------------------------------------------------ the loop

    def go(
        self, interrupted: Callable[[], bool], max_steps: int | None, max_seconds: float | None, quiet: bool
    ) -> Result:
        at, began, start = self.at, time.monotonic(), self.at.step
        epochs = self.settings.epochs

        def late() -> bool:
            return max_seconds is not None and time.monotonic() - began > max_seconds

        total = at.step - at.position + len(self.steps) * (epochs - at.epoch)
        with closing(Progress(total, start, self.first and not quiet)) as progress:
            while at.epoch < epochs:
                planned = self.steps[at.position :]
                with closing(_ahead(self.load, planned, self.settings.workers)) as batches:
                    for step in planned:
                        if max_steps is not None and at.step >= max_steps:
                            return self.result()
                        values, (stop, enough) = self.one(batches, interrupted, late)
                        self.account(values, step)
                        progress(at.step, at.epoch, values["loss"])
                        if at.position == len(self.steps):
                            mean = self.end_epoch()
                            left = duration((time.monotonic() - began) / (at.step - start) * max(0, total - at.step))
                            self.say(f"epoch {at.epoch}/{epochs}: mean loss {mean:.4g}, {left} left")
                        elif at.step % self.settings.save_every == 0:
                            self.save()
                        if stop:
                            self.result()
                            self.say(f"stopped at step {at.step}; the checkpoint is saved, --resume goes on")
                            raise KeyboardInterrupt
                        if enough:
                            return self.result()
            return self.result()

    def load(self, step: Step) -> Any:
        return self.recipe.load(step.share(self.rank, self.world), self.at.epoch, self.settings.seed)

    def one(self, batches: Iterator[Any], *stops: Callable[[], bool]) -> tuple[dict[str, float], list[bool]]:
        """Load and do one step.

        Returns:
            The step's scalars, means over all processes, and which of ``stops`` holds in any process.
        """
        began = time.monotonic()
        with self.explained(f"at {self.where()}"):
            batch = next(batches)
            loaded = time.monotonic()
            values = self.recipe.step(batch)
            if "loss" not in values:
                raise FusionbenchError(f"{type(self.recipe).__name__}.step returned no 'loss', only {list(values)}")
            every = [*values.values(), *(float(stop()) for stop in stops)]
            row = torch.stack([torch.as_tensor(v, dtype=torch.float64).detach().to(self.place) for v in every])
            means = distributed.all_mean([row])[0].tolist()
        seconds = {"load": round(loaded - began, 5), "compute": round(time.monotonic() - loaded, 5)}
        self.logs.write_time({"step": self.at.step + 1, **seconds})
        return dict(zip(values, means, strict=False)), [m > 0 for m in means[len(values) :]]

    def account(self, values: dict[str, float], step: Step) -> None:
        """Watch for NaN, count, log."""
        at, loss = self.at, values["loss"]
        self.names = self.recipe.names(step)
        if not math.isfinite(loss):
            raise not_finite(f"the loss is {loss} at {self.where()}", self.names, self.kept())
        at.position, at.step, at.loss_sum = at.position + 1, at.step + 1, at.loss_sum + loss
        if at.step % self.settings.log_every == 0 or at.position == len(self.steps):
            kind = {"kind": step.kind} if step.kind else {}
            self.logs.write({"step": at.step, "epoch": at.epoch + 1, **kind, **values})
            self.logs.scalars(at.step, values)

    def end_epoch(self) -> float:
        """Schedules, validation, pictures, checkpoint; the mean loss."""
        at, settings, mean = self.at, self.settings, self.at.loss_sum / len(self.steps)
        self.recipe.epoch_end(at.epoch)
        at.epoch, at.position, at.loss_sum = at.epoch + 1, 0, 0.0
        last = at.epoch == settings.epochs
        scores: dict[str, float] = {}
        with _same_rng(), self.explained(f"after epoch {at.epoch}"):
            if at.epoch % settings.validate_every == 0 or last:
                scores = {name: float(value) for name, value in self.recipe.validate().items()}
            if self.first and settings.picture_every and (at.epoch % settings.picture_every == 0 or last):
                self.logs.pictures(at.step, at.epoch, self.recipe.pictures())
        self.logs.write({"epoch": at.epoch, "mean_loss": mean, **({"validation": scores} if scores else {})})
        self.logs.scalars(at.step, {f"validation/{name}": value for name, value in scores.items()})
        score = scores.get("score", None if scores else -mean)
        better = score is not None and math.isfinite(score) and (at.best is None or score > at.best)
        if better:
            at.best = score
        self.plan(at.epoch)
        self.save(better)
        return mean

    # ------------------------------------------------------------ keeping

    def save(self, best: bool = False) -> None:
        """Write a checkpoint of this moment.

        Raises:
            FusionbenchError: weights are not finite; nothing is written then.
        """
        at, objects = self.at, self.recipe.state()
        if broken := unfit(objects):
            raise not_finite(f"weights of {broken} are not finite after step {at.step}", self.names, self.kept())
        rng = distributed.gather(get_rng())
        if self.first:
            at.log_bytes = self.logs.length()
            at.state = {name: thing.state_dict() for name, thing in objects.items()}
            at.precision, at.rng = self.recipe.precision.state_dict(), rng
            self.keeper.keep(at, best)
            at.state, at.rng = {}, []
        self.saved = at.step

    def result(self) -> Result:
        """Save if the newest checkpoint is not of this step."""
        if self.saved != self.at.step:
            self.save()
        return Result(self.at.epoch >= self.settings.epochs, self.at.step, self.at.best, self.keeper.last, self.first)

    def kept(self) -> str:
        """Put the last good checkpoint aside, and say where it is."""
        path = self.keeper.keep_before_nan() if self.first else self.keeper.before_nan
        return f"the last good checkpoint is {path} (step {self.saved})" if path else "there is no checkpoint yet"

    def where(self) -> str:
        at = self.at
        return f"step {at.step + 1} (epoch {at.epoch + 1}, step {at.position + 1} of {len(self.steps)})"

    def explained(self, where: str) -> AbstractContextManager[None]:
        return explained(self.config, self.recipe.batch_key, where)


def _ahead(load: Callable[[Step], Any], steps: Iterable[Step], workers: int) -> Generator[Any, None, None]:
    """Batches in order; with workers, threads load a few ahead."""
    if not workers:
        yield from map(load, steps)
        return
    pool, waiting = ThreadPoolExecutor(workers), deque[Future[Any]]()
    try:
        for step in steps:
            waiting.append(pool.submit(load, step))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _same_rng() -> Iterator[None]:
    """Leave the random number generators as they were."""
    states = get_rng()
    try:
        yield
    finally:
        set_rng(states)
