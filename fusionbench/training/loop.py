"""The loop: plan an epoch, load, step, log, save. Everything it must remember is in one :class:`Checkpoint`."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Generic

import torch
from torch import nn
from torch.profiler import record_function

from fusionbench.errors import FusionbenchError, WeightsError
from fusionbench.results import provenance
from fusionbench.runtime import locations, reasons
from fusionbench.training import distributed, returned
from fusionbench.training.ahead import ahead
from fusionbench.training.begin import begin
from fusionbench.training.checkpoint import Checkpoint, Checkpoints, load_states, unfit
from fusionbench.training.decoded import keep_decoded
from fusionbench.training.generators import fingerprint, get_rng, same_rng, seed_all, set_rng
from fusionbench.training.gpu_use import GpuUse
from fusionbench.training.loggers import Loggers, Session, asked
from fusionbench.training.logs import Logs, ProgressBar, duration
from fusionbench.training.options import Result, RunOptions, silent
from fusionbench.training.order import Step, digest
from fusionbench.training.parts import take_in_parts
from fusionbench.training.precision import Precision
from fusionbench.training.profile import Profile
from fusionbench.training.recipe import B, Recipe, Stateful
from fusionbench.training.resident import reside
from fusionbench.training.settings import S, differing, settings_text
from fusionbench.training.trouble import Interrupted, explained, not_finite, signals


def train(
    recipe: Recipe[S, B],
    settings: S,
    out: Path,
    *,
    resume: bool = False,
    device: str = "cpu",
    options: RunOptions | None = None,
) -> Result:
    """Train, or go on with training.

    Args:
        recipe: what to train.
        settings: the recipe's.
        out: folder of the run: checkpoints, ``log.jsonl``, pictures, settings.
        resume: go on from the newest checkpoint in ``out``; from the beginning when a run was killed before its first.
        device: ``cpu``, ``cuda`` or ``cuda:N``. With several processes, ``cuda`` is the GPU of the local rank.
        options: how; None for no notes and no end but the last epoch's.

    Raises:
        FusionbenchError: something the user can mend, most of it before the first step; a loss that is not finite; no
            memory left.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, when the checkpoint is saved.
    """
    options = options or RunOptions()
    with distributed.group(device, options.launch) as own_device:
        run = _Run(recipe, settings, Path(out), own_device, options)
        run.prepare(resume)
        run.open()
        try:
            with signals() as interrupted:
                return run.go(interrupted)
        finally:
            run.logs.close()


class _Run(Generic[S, B]):
    """One call of :func:`train`. ``state`` is the present moment; saving it only adds the states of the objects."""

    logs: Logs
    steps: list[Step]

    def __init__(self, recipe: Recipe[S, B], settings: S, out: Path, device: torch.device, options: RunOptions) -> None:
        self.recipe, self.settings, self.out, self.device, self.options = recipe, settings, out, device, options
        self.rank, self.world = distributed.rank(), distributed.world()
        self.first = self.rank == 0
        self.note = options.note if self.first else silent
        self.checkpoints = Checkpoints(out)
        self.state = Checkpoint({}, {}, [], settings_text(settings), "", world=self.world)
        self.saved = -1  # the step of the newest checkpoint
        self.names: list[str] = []  # samples of the newest batch
        self.apart = False  # whether processes drew random numbers in a step, each its own
        self.untried: Path | None = None  # the checkpoint that was gone back to, until there is another

    # ------------------------------------------------------------ before the first step

    def prepare(self, resume: bool) -> None:
        """Build, check, and go back to a checkpoint's moment."""
        try:
            self.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FusionbenchError(f"{self.out}: {reasons.reason(self.out, error)}; choose another out=") from None
        if not resume and self.checkpoints.files():
            raise FusionbenchError(f"{self.out}: holds a training run; go on with resume=True, or choose another out=")
        if self.first:
            self.checkpoints.sweep()
        checkpoint = self.checkpoints.latest(self.note) if resume else None
        if checkpoint and (changes := self.changes(checkpoint)):
            raise FusionbenchError(
                f"{self.out}: the run has other settings: {'; '.join(changes[:5])}; "
                "resume with its own, or choose another out="
            )
        seed_all(self.settings.seed)  # the same weights in every process
        self.recipe.precision, self.recipe.note = Precision(self.settings.precision, self.device), self.note
        with self.explained("while building the networks"):
            self.recipe.build(self.settings, self.device)
        if self.settings.accumulate > 1:
            try:
                take_in_parts(self.recipe.divisible(), self.settings.accumulate)
            except FusionbenchError as error:
                raise FusionbenchError(f"accumulate={self.settings.accumulate}: {error}; take accumulate=1") from None
        if self.recipe.start is not None and not checkpoint:
            self.note(begin(self.recipe, self.recipe.start, self.recipe.adapt))
        if self.recipe.accepts and self.first:
            with torch.random.fork_rng(devices=[]):  # the method's network draws its weights
                self.recipe.accepts(returned.tensors(self.recipe, self.recipe.export()))
        self.recipe.check()
        self.plan(checkpoint.epoch if checkpoint else 0)
        self.join()
        seed_all(self.settings.seed + self.rank)
        if checkpoint:
            self.restore(checkpoint)
        elif resume:
            self.note(f"{self.out}: no checkpoint yet; training starts at the beginning")
        if self.state.epoch < self.settings.epochs:
            self.place()

    def place(self) -> None:
        """Let what the recipe reads be decoded once (by a machine's first process) and lie on the device if asked."""
        splits, folder = returned.splits(self.recipe, self.recipe.reads()), locations.current().cache / "decoded"
        for first in (True, False) if self.settings.cache else ():
            if (self.options.launch.local_rank == 0) is first:
                for split in splits:
                    keep_decoded(split, folder, self.settings.workers, self.note)
            with self.explained("while decoding the training pairs"):
                distributed.gather(None)
        for split in splits if self.settings.resident else ():
            reside(split, self.device, self.settings.workers, self.note)

    def changes(self, checkpoint: Checkpoint) -> list[str]:
        """Settings that differ from those of the run."""
        try:
            return differing(checkpoint.config, self.settings)
        except (ValueError, TypeError, AttributeError, RecursionError):
            raise WeightsError(f"{self.checkpoints.last}: damaged checkpoint (its settings are none)") from None

    def objects(self) -> Mapping[str, Stateful]:
        return returned.objects(self.recipe, self.recipe.state())

    def join(self) -> None:
        """The first process's weights in all, where networks begin at random."""
        distributed.join(part for part in self.objects().values() if isinstance(part, nn.Module))

    def restore(self, checkpoint: Checkpoint) -> None:
        """Put everything back that a checkpoint holds; FusionbenchError where it is of other data or another recipe."""
        if checkpoint.order != self.state.order:
            raise FusionbenchError(
                f"{self.out}: the training images or their order differ from those of the run; "
                "bring them back, or choose another out="
            )
        if checkpoint.position >= len(self.steps):
            raise WeightsError(f"{self.checkpoints.last}: damaged checkpoint (step {checkpoint.position} of an epoch)")
        load_states(self.objects(), checkpoint.state)
        load_states({"the loss scale": self.recipe.precision}, {"the loss scale": checkpoint.precision})
        checkpoint.state, self.untried = {}, self.checkpoints.last
        if len(checkpoint.rng) == self.world:
            set_rng(checkpoint.rng[self.rank])
        else:
            self.note(f"resumed by {self.world} processes, the run had {checkpoint.world}: random numbers start anew")
        self.state, self.saved = checkpoint, checkpoint.step
        self.state.world, self.state.config = self.world, settings_text(self.settings)

    def plan(self, epoch: int) -> None:
        """Ask for the steps of an epoch. A finished run holds the plan of an epoch more, which is never run."""
        self.steps = returned.steps(self.recipe, self.recipe.batches(epoch, self.settings.seed))
        if not self.steps:
            raise FusionbenchError(f"epoch {epoch + 1} has no steps: the training set is empty, or below one batch")
        for step in self.steps:
            step.share(self.rank, self.world)
        self.state.order = digest([self.recipe.names(step) for step in self.steps], self.steps)

    def open(self) -> None:
        """Open the logs, and write down what this session is."""
        state, loggers = self.state, None
        if self.first:
            told = Session(folder=self.out, step=state.step, settings=json.loads(state.config))
            chosen = asked(self.options.loggers, self.settings.tensorboard, self.out, self.note)
            loggers = Loggers(chosen, told, self.note)
        self.logs = Logs(self.out, state.log_bytes, state.step, self.first, self.note, GpuUse(self.device), loggers)
        if self.first:
            (self.out / "config.json").write_text(state.config, encoding="utf-8")
            session = provenance.session(self.options.command, provenance.now()).plain() | {"seed": self.settings.seed}
            session["plan"] = {"from_step": state.step, "processes": self.world, "device": str(self.device)}
            with (self.out / "sessions.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(session) + "\n")

    # ------------------------------------------------------------ the loop

    def go(self, interrupted: Interrupted) -> Result:
        state, began, start = self.state, time.monotonic(), self.state.step
        epochs, most, seconds = self.settings.epochs, self.options.max_steps, self.options.max_seconds

        def late() -> bool:
            return seconds is not None and time.monotonic() - began > seconds

        total = state.step - state.position + len(self.steps) * (epochs - state.epoch)
        with (
            closing(ProgressBar(total, start, self.first and not self.options.quiet)) as bar,
            closing(Profile(self.out, self.options.profile if self.first else 0, self.device, self.note)) as profile,
        ):
            while state.epoch < epochs:
                planned = self.steps[state.position :]
                with closing(ahead(self.load, planned, self.settings.workers)) as batches:
                    for step in planned:
                        if most is not None and state.step >= most:
                            return self.result()
                        values, (stop, enough) = self.step(batches, interrupted.came, late)
                        self.account(values, step)
                        bar(state.step, state.epoch, values["loss"])
                        profile()
                        if state.position == len(self.steps):
                            mean = self.end_epoch()
                            rate = (time.monotonic() - began) / (state.step - start)
                            left, pace = duration(rate * max(0, total - state.step)), self.logs.pace()
                            self.note(f"epoch {state.epoch}/{epochs}: mean loss {mean:.4g}, {pace}, {left} left")
                        elif state.step % self.settings.save_every == 0:
                            self.save()
                        if stop:
                            self.result()
                            self.note(f"stopped at step {state.step}; the checkpoint is saved, resume=True goes on")
                            raise KeyboardInterrupt(*interrupted.numbers)
                        if enough:
                            return self.result()
            return self.result()

    def load(self, step: Step) -> B:
        return self.recipe.load(step.share(self.rank, self.world), self.state.epoch, self.settings.seed)

    def step(self, batches: Iterator[B], *stops: Callable[[], bool]) -> tuple[dict[str, float], list[bool]]:
        """Load and do one step.

        Returns:
            The step's scalars, means over all processes, and which of ``stops`` holds in any process.
        """
        began = time.monotonic()
        with self.explained(f"at {self.where()}"):
            with record_function("wait for the batch"):
                batch = next(batches)
            loaded = time.monotonic()
            before = self.rank and fingerprint()
            with record_function("step"):
                values = returned.scalars(self.recipe, "step", self.recipe.step(batch))
            if "loss" not in values:
                raise FusionbenchError(f"{type(self.recipe).__name__}.step returned no 'loss', only {list(values)}")
            apart = bool(self.rank) and fingerprint() != before
            numbers = [*values.values(), *(float(stop()) for stop in stops), float(apart)]
            row = torch.stack([torch.as_tensor(x, dtype=torch.float64).detach().to(self.device) for x in numbers])
            means = distributed.all_mean([row])[0].tolist()
        self.logs.write_time(self.state.step + 1, loaded - began, time.monotonic() - loaded)
        if means[-1] > 0 and not self.apart:
            self.apart = True
            self.note(f"the {self.world} processes draw random numbers (dropout) each for itself: not one's losses")
        return dict(zip(values, means, strict=False)), [m > 0 for m in means[len(values) : -1]]

    def account(self, values: dict[str, float], step: Step) -> None:
        """Watch for NaN, count, log."""
        state, loss = self.state, values["loss"]
        self.names = self.recipe.names(step)
        if not math.isfinite(loss):
            raise not_finite(f"the loss is {loss} at {self.where()}", self.names, self.last_good())
        state.position, state.step, state.loss_sum = state.position + 1, state.step + 1, state.loss_sum + loss
        if state.step % self.settings.log_every == 0 or state.position == len(self.steps):
            kind = {"kind": step.kind} if step.kind else {}
            self.logs.write({"step": state.step, "epoch": state.epoch + 1, **kind, **values})
            self.logs.scalars(state.step, values)

    def end_epoch(self) -> float:
        """Schedules, validation, pictures, checkpoint; the mean loss."""
        state, settings, mean = self.state, self.settings, self.state.loss_sum / len(self.steps)
        with self.explained(f"after epoch {state.epoch + 1}"):
            self.recipe.epoch_end(state.epoch)
            self.join()
        state.epoch, state.position, state.loss_sum = state.epoch + 1, 0, 0.0
        last = state.epoch == settings.epochs
        scores: dict[str, float] = {}
        with same_rng(), self.explained(f"after epoch {state.epoch}"):
            if state.epoch % settings.validate_every == 0 or last:
                values = returned.scalars(self.recipe, "validate", self.recipe.validate())
                scores = {name: float(value) for name, value in values.items()}
            if self.first and settings.picture_every and (state.epoch % settings.picture_every == 0 or last):
                self.logs.pictures(state.step, state.epoch, self.recipe.pictures())
        self.logs.write({"epoch": state.epoch, "mean_loss": mean, **({"validation": scores} if scores else {})})
        self.logs.scalars(state.step, {f"validation/{name}": value for name, value in scores.items()})
        score = scores.get("score", None if scores else -mean)
        better = score is not None and math.isfinite(score) and (state.best is None or score > state.best)
        if better:
            state.best = score
        self.plan(state.epoch)
        self.save(better)
        return mean

    # ------------------------------------------------------------ checkpoints

    def save(self, best: bool = False) -> None:
        """Write a checkpoint of this moment.

        Raises:
            FusionbenchError: weights are not finite; nothing is written then.
        """
        state, objects = self.state, self.objects()
        if broken := unfit(objects):
            raise not_finite(
                f"weights of {broken} are not finite after step {state.step}", self.names, self.last_good()
            )
        rng = distributed.gather(get_rng())
        if self.first:
            state.log_bytes = self.logs.length()
            state.state = {name: part.state_dict() for name, part in objects.items()}
            state.precision, state.rng = self.recipe.precision.state_dict(), rng
            self.checkpoints.add(state, best)
            state.state, state.rng = {}, []
        self.saved, self.untried = state.step, None

    def result(self) -> Result:
        """Save if the newest checkpoint is not of this step."""
        state = self.state
        if self.saved != state.step:
            self.save()
        return Result(state.epoch >= self.settings.epochs, state.step, state.best, self.checkpoints.last, self.first)

    def last_good(self) -> str:
        """Put the last good checkpoint aside, and say where it is."""
        path = self.checkpoints.set_aside() if self.first else self.checkpoints.before_nan
        return f"the last good checkpoint is {path} (step {self.saved})" if path else "there is no checkpoint yet"

    def where(self) -> str:
        state = self.state
        return f"step {state.step + 1} (epoch {state.epoch + 1}, step {state.position + 1} of {len(self.steps)})"

    def explained(self, where: str) -> AbstractContextManager[None]:
        return explained(self.settings, self.recipe.batch_key, where, self.untried)
