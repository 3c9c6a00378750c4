"""A part of the work as plain data, and what a worker does with it: ordinary evaluation or training, in a folder."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from fusionbench import environment
from fusionbench.cluster.parcels import Parcel, differing
from fusionbench.errors import FusionbenchError
from fusionbench.evaluation import runner, task_run
from fusionbench.evaluation.entries import Skip, one_entry
from fusionbench.evaluation.outcome import Column, Outcome
from fusionbench.evaluation.pictures import training_pictures
from fusionbench.evaluation.plan import Plan, Request, make_plan
from fusionbench.evaluation.task_plan import TaskRequest
from fusionbench.evaluation.task_training import RECORD
from fusionbench.results.records import Record, TaskResult
from fusionbench.results.storage_errors import storage_error
from fusionbench.results.store import Store
from fusionbench.runtime import locations, pictures_at
from fusionbench.runtime.pictures_at import HERE
from fusionbench.training.options import RunOptions
from fusionbench.training.request import TrainRequest
from fusionbench.training.run import run

SAID = "said.json"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the one who asks finds things; a worker takes its own environment's folders first.

    Attributes:
        data: folder of the datasets.
        given: whether the user named it in the command; then it is the workers' too.
        plugins: folders of plugins.
        who: signs the results.
        pictures: where they are kept; "" for what comes back with the results.
    """

    data: Path
    given: bool
    plugins: tuple[Path, ...]
    who: str
    pictures: str = ""

    def root(self) -> Path:
        """The folder of the datasets here, once this process has read its environment."""
        environment.apply(self.plugins)
        environment.sign(self.who)
        environment.keep_pictures(self.pictures or HERE)
        own = locations.current().data
        return self.data if self.given or own == locations.Locations().data else own.absolute()


def place(data_root: Path | None) -> Place:
    """Of this process."""
    here = locations.current()
    return Place(
        data=(data_root or here.data).absolute(),
        given=data_root is not None,
        plugins=here.plugins,
        who=here.who,
        pictures=_portable(pictures_at.current()),
    )


def _portable(pictures: str) -> str:
    """Where pictures are kept, the same wherever a process begins."""
    return pictures if "://" in pictures or pictures in ("", HERE) else str(Path(pictures).absolute())


class Said(Record, frozen=True, kw_only=True):
    """What a worker has to say besides its store; see :class:`fusionbench.evaluation.outcome.Outcome` and
    :class:`fusionbench.evaluation.task_run.Problems`."""

    fused: int = 0
    read: int = 0
    scored: int = 0
    skipped: tuple[tuple[str, str], ...] = ()
    undefined: tuple[tuple[str, str, str, tuple[str, ...]], ...] = ()
    broken: tuple[tuple[str, str], ...] = ()
    odd: tuple[str, ...] = ()
    gaps: tuple[tuple[str, str, str], ...] = ()
    failures: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()

    def outcome(self) -> Outcome:
        """Of entries and pairs; what failed is in the store."""
        return Outcome(
            fused=self.fused,
            read=self.read,
            scored=self.scored,
            undefined={Column(*column): list(images) for *column, images in self.undefined},
            broken=dict(self.broken),
            odd=list(self.odd),
            skipped=[Skip(*skip) for skip in self.skipped],
        )

    def problems(self) -> task_run.Problems:
        """Of task networks."""
        gaps = {(label, task): reason for label, task, reason in self.gaps}
        return task_run.Problems(gaps, list(self.failures), list(self.kept))


@dataclass(frozen=True, kw_only=True)
class Unit:
    """What all units have.

    Attributes:
        name: in messages.
        place: of the one who asks.
        device: where it is computed.
        command: for the provenance.
    """

    name: str
    place: Place
    device: str
    command: str

    def do(self, folder: Path) -> None:
        """Do the work; everything that comes of it lies in the folder.

        Raises:
            FusionbenchError: why it cannot be done here.
        """
        raise NotImplementedError

    def sent(self, file: Path | None = None) -> Unit:
        """The unit with the data that go with it.

        Args:
            file: where they are laid for the worker; None for in the unit itself.

        Raises:
            FusionbenchError: they cannot be read or written.
        """
        return self


@dataclass(frozen=True, kw_only=True)
class Pairs(Unit):
    """Entries on some pairs of a source.

    Attributes:
        request: what was asked, with the datasets of the source.
        source: its label.
        keys: entry key to id.
        ids: of the pairs.
        parcel: these pairs, for a worker that has them not.
    """

    request: Request
    source: str
    keys: Mapping[str, str]
    ids: tuple[str, ...]
    parcel: Parcel | None = None

    def sent(self, file: Path | None = None) -> Pairs:
        """With its pairs, where they are to be sent."""
        if self.parcel is None:
            return self
        content = self.parcel.filled()
        if file is not None:
            try:
                file.touch(0o600)
                file.write_bytes(content)
            except OSError as error:
                raise storage_error(file, error) from None
        return replace(self, parcel=replace(self.parcel, files={}, content=file or content))

    def do(self, folder: Path) -> None:
        """Fuse and score."""
        with self.planned() as plan:
            outcome = self.evaluate(plan, folder)
        said = Said(
            fused=outcome.fused,
            read=outcome.read,
            scored=outcome.scored,
            skipped=tuple((skip.what, skip.why) for skip in outcome.skipped),
            undefined=tuple((*column, tuple(images)) for column, images in outcome.undefined.items()),
            broken=tuple(outcome.broken.items()),
            odd=tuple(outcome.odd),
        )
        (folder / SAID).write_bytes(msgspec.json.encode(said))

    def evaluate(self, plan: Plan, folder: Path) -> Outcome:
        """The ordinary run."""
        source = replace(plan.sources[0], ids=self.ids)
        with Store(folder) as store:
            return runner.run(replace(plan, sources=(source,)), store, self.command)

    @contextmanager
    def planned(self) -> Iterator[Plan]:
        """The plan over the pairs that are here, else over those that were sent, for as long as it takes.

        Raises:
            FusionbenchError: neither are what they should be.
        """
        own = self._own()
        if own or self.parcel is None:
            yield own or self.plan()
            return
        with tempfile.TemporaryDirectory(prefix="fusionbench-") as scratch:
            request = self.parcel.opened(Path(scratch, "sent"), self.request)
            plan = replace(self, request=request).plan()
            self.parcel.check(plan.sources[0].dataset, plan.sources[0].split)
            yield plan

    def _own(self) -> Plan | None:
        """The plan over pairs that are here, where those that were sent need not be looked at."""
        if self.parcel is None or self.parcel.content is None:
            return self.plan()
        with suppress(FusionbenchError):
            plan = self.plan()
            if not differing(plan.sources[0].dataset, plan.sources[0].split, self.parcel.hashes):
                return plan
        return None

    def plan(self) -> Plan:
        """The plan with these entries and this source.

        Raises:
            FusionbenchError: they are not the same here.
        """
        plan = make_plan(replace(self.request, device=self.device, data_root=self.place.root()))
        entries = tuple(entry for entry in plan.entries if entry.key in self.keys)
        if lacking := set(self.keys) - {entry.key for entry in entries}:
            names = ", ".join(sorted(self.keys[key] for key in lacking))
            raise FusionbenchError(f"{names}: not here with the same code, weights and options")
        sources = tuple(source for source in plan.sources if source.label == self.source)
        if not sources:
            raise FusionbenchError(f"no {self.source} under {self.place.root()}")
        return replace(plan, entries=entries, sources=sources, skipped=())


@dataclass(frozen=True, kw_only=True)
class Networks(Pairs):
    """A part of the task networks, see :func:`fusionbench.evaluation.shards.task_parts`; `ids` are those of the plan.

    Attributes:
        tasks: what is asked.
        known: (entry key, result) of what need not be done again.
        split: of the table.
    """

    tasks: TaskRequest
    known: tuple[tuple[str, TaskResult], ...]
    split: str

    def do(self, folder: Path) -> None:
        """Train what is missing and score it; only results and networks stay in the folder."""
        plan = self.plan()
        source = replace(plan.sources[0], ids=self.ids)
        environment.keep_pictures(HERE)  # those of a network's training are needed once
        with tempfile.TemporaryDirectory() as scratch, Store(Path(scratch)) as store:
            for key, result in self.known:
                store.put_task(key, self.source, self.split, result)
            problems = task_run.run_tasks(replace(plan, sources=(source,)), self.tasks, store, self.command)
            with Store(folder) as own:
                for entry in plan.entries:
                    own.put_entry(entry.key, entry.info())
                for key, result in store.tasks(self.source, self.split):
                    if (key, result) not in self.known:
                        own.put_task(key, self.source, self.split, result)
                for latest in store.runs():
                    own.put_run(latest)
                for task, reason in store.task_gaps(self.source, self.split).items():
                    own.put_task_state(self.source, self.split, task, reason)
            for trained in Path(scratch, "tasks").glob("*/weights.safetensors"):
                target = folder / "tasks" / trained.parent.name
                target.mkdir(parents=True)
                for file in (trained, trained.with_name(RECORD)):
                    shutil.copyfile(file, target / file.name)
        gaps = tuple((*where, reason) for where, reason in problems.gaps.items())
        said = Said(gaps=gaps, failures=tuple(problems.failures), kept=tuple(problems.kept))
        (folder / SAID).write_bytes(msgspec.json.encode(said))


@dataclass(frozen=True, kw_only=True)
class Training(Unit):
    """A run of a sweep, which leaves what ``train`` leaves.

    Attributes:
        request: what is trained; its folder is that of the one who asks.
    """

    request: TrainRequest

    def do(self, folder: Path) -> None:
        """Train to the end."""
        root = self.place.root()
        own = replace(self.request, folder=folder, data_root=root, device=self.device, resume=False)
        with tempfile.TemporaryDirectory() as scratch:
            pictures = None
            if own.training.network and own.entry:
                own = replace(own, entry=one_entry(own.entry).id)
                pictures = training_pictures(own, Path(scratch), lambda _: None)
            run(own, RunOptions(command=self.command, quiet=True), pictures)
        for checkpoint in folder.glob("*.pt"):  # for going on, which a finished run does not
            checkpoint.unlink()


def heard(folder: Path) -> Said:
    """What a worker said.

    Raises:
        FusionbenchError: nothing that can be read.
    """
    try:
        return msgspec.json.decode((folder / SAID).read_bytes(), type=Said)
    except (OSError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise FusionbenchError(f"what the worker said cannot be read ({' '.join(str(error).split())})") from None
