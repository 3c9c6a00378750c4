"""The Python interface: what the command line does, in three lines."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fusionbench import environment
from fusionbench.cluster.choosing import check_cluster, engine_of, threads_of
from fusionbench.cluster.gathering import Gathering
from fusionbench.cluster.units import place
from fusionbench.data.layout import DEFAULT
from fusionbench.data.pairing import Reading
from fusionbench.errors import FusionbenchError
from fusionbench.evaluation.entries import entries, single
from fusionbench.evaluation.fusing import fuse_pair
from fusionbench.evaluation.outcome import Outcome
from fusionbench.evaluation.plan import Plan, Request, check_rule, make_plan
from fusionbench.evaluation.room import check_room
from fusionbench.evaluation.runner import run
from fusionbench.evaluation.scoring import reason_of
from fusionbench.evaluation.small import told
from fusionbench.pixels.images import grey
from fusionbench.report.formats import markdown
from fusionbench.report.tables import Table, build
from fusionbench.results.schema import FusedRow
from fusionbench.results.store import Store
from fusionbench.runtime.arithmetic import check_compiler
from fusionbench.runtime.device import check_device

if TYPE_CHECKING:
    from fusionbench.report.dataframes import Results


class Result:
    """Tables of a run, one per dataset; prints as Markdown.

    Attributes:
        tables: the leaderboards.
        outcome: what was computed, what failed.
        notes: how files were paired, where names do not say it, what fitted nothing, and how a cluster fared.
    """

    def __init__(self, tables: Sequence[Table], outcome: Outcome, notes: Sequence[str] = ()) -> None:
        self.tables, self.outcome, self.notes = tuple(tables), outcome, tuple(notes)

    def __str__(self) -> str:
        return "\n".join(markdown(t) for t in self.tables)

    def to_dict(self) -> list[dict[str, object]]:
        """All tables as plain data."""
        return [t.to_dict() for t in self.tables]


def evaluate(
    methods: Sequence[str] = (),
    datasets: Sequence[str] = (),
    metrics: Sequence[str] = (),
    *,
    images: Sequence[str] = (),
    images_root: str | Path | None = None,
    reading: Reading = DEFAULT,
    data_root: str | Path | None = None,
    limit: int | None = None,
    profile: str | None = None,
    output_rule: str | None = None,
    device: str = "cpu",
    jobs: int = 0,
    fresh_versions: bool = False,
    precision: str | None = None,
    compiled: bool = False,
    batch: int = 0,
    out: str | Path | None = None,
    who: str = "",
    pictures_at: str = "",
    cluster: str | Sequence[str] = "",
) -> Result:
    """Fuse and score; what `out` already holds is not computed again.

    Args:
        methods: as on the command line (``gff``, ``refusion[ivif]``); all runnable ones by default.
        datasets: ``msrs``, ``folder=DIR``...; all present ones by default.
        metrics: ``vif``, ``vif@cddfuse``...; those of the dataset's protocol by default.
        images: ``NAME=DIR``: pictures that another program made.
        images_root: folder of a tree METHOD/DATASET of such pictures.
        reading: how files are read and paired, e.g. ``fusionbench.data.Reading(ir_range=(7000, 9000))``.
        data_root: where the datasets lie; ``FUSIONBENCH_DATA`` by default.
        limit: only the first images of each split.
        profile: metric profile, e.g. ``cddfuse``.
        output_rule: one rule for all methods, e.g. ``clip-round``.
        device: ``cpu`` or ``cuda``.
        jobs: images worked on at once; all processors by default.
        fresh_versions: compute again what other versions of torch or another processor have computed.
        precision: of networks: ``float32``, ``tf32`` or ``bf16``; float32 by default.
        compiled: whether networks go through ``torch.compile``.
        batch: pairs of 480x640 that go through a method at once; 1 on a processor by default, else 8.
        out: directory of the results store; a temporary one by default.
        who: signs the results, with the time and the machine; ``FUSIONBENCH_WHO`` by default, else nobody does.
        pictures_at: keeps them, if not `out`: ``s3://BUCKET/PREFIX``, a folder; ``FUSIONBENCH_PICTURES`` by default.
        cluster: does the work: an address of Ray, ``local``, or ``("slurm", "partition=gpu", ...)``. Ray begins Python
            anew, so a script has its call below ``if __name__ == "__main__":``.

    Raises:
        FusionbenchError: when what was asked does not exist or nothing could be scored.
    """
    named = Request(methods=tuple(methods), datasets=tuple(datasets), metrics=tuple(metrics), images=tuple(images))
    here = replace(named, device=device, jobs=jobs, precision=precision, compiled=compiled, batch=batch)
    rules = replace(here, reading=reading, profile=profile, output_rule=output_rule, limit=limit)
    images_from, data_from = (Path(place) if place else None for place in (images_root, data_root))
    request = replace(rules, fresh_versions=fresh_versions, images_root=images_from, data_root=data_from)
    environment.apply()
    environment.sign(who, "who")
    environment.keep_pictures(pictures_at)
    return _evaluated(request, out, _work(cluster, fresh_versions))


Work = Callable[[Plan, Store, Request], tuple[Outcome, list[str]]]  # with what there is to say of it


def _work(cluster: str | Sequence[str], fresh_versions: bool) -> Work:
    """What fuses and scores: this process, or a cluster."""
    name, *slurm = [cluster] if isinstance(cluster, str) else list(cluster) or [""]
    if not (name or slurm):
        return lambda plan, store, _: (run(plan, store, command="fusionbench.evaluate"), [])
    if fresh_versions:
        raise FusionbenchError("fresh_versions=True: on this machine alone, whose versions it compares with")
    check_cluster(name, slurm)
    return partial(_elsewhere, name, slurm)


def _elsewhere(
    cluster: str, slurm: Sequence[str], plan: Plan, store: Store, request: Request
) -> tuple[Outcome, list[str]]:
    notes: list[str] = []
    threads = threads_of(request.jobs, request.device)
    gathering = Gathering(
        request=request,
        plan=plan,
        store=store,
        place=place(request.data_root),
        command="fusionbench.evaluate",
        threads=threads,
        note=notes.append,
    )
    with engine_of(cluster, slurm, request.device, threads) as engine:
        return gathering.run(engine, [])[0], notes


def _evaluated(request: Request, out: str | Path | None, work: Work) -> Result:
    _check(request.limit, request.jobs, request.device)
    if request.batch < 0:
        raise FusionbenchError(f"batch={request.batch}: must be at least 1, or 0 for what suits the device")
    plan = make_plan(request)
    if any(entry.compiled for entry in plan.entries):
        check_compiler(request.device)
    with tempfile.TemporaryDirectory() as scratch, Store(Path(out) if out else Path(scratch)) as store:
        store.shelf.begin()
        outcome, notes = work(plan, store, request)
        outcome.odd += store.shelf.settled(lambda: store.rows(FusedRow))
        return Result(_tables(plan, store), outcome, (*plan.notes, *notes))


def _tables(plan: Plan, store: Store) -> list[Table]:
    """A table for each source of which any entry has pictures."""
    tables = []
    for source in plan.sources:
        if keys := [entry.key for entry in plan.entries_of(source)]:
            tables.append(build(store, source.board(), [m.id for m in source.metrics], keys, ids=source.ids))
    return tables


def _check(limit: int | None, jobs: int, device: str) -> None:
    if limit is not None and limit < 1:
        raise FusionbenchError(f"limit={limit}: must be at least 1, or None for all images")
    if jobs < 0:
        raise FusionbenchError(f"jobs={jobs}: must be at least 1, or 0 for all processors")
    check_device(device)


def results(folder: str | Path = "results") -> Results:
    """What `eval` left in a folder, as data frames: ``fusionbench.results("results").scores()``.

    Args:
        folder: as ``--out`` names it.

    Raises:
        FusionbenchError: there is no store in it.
    """
    environment.apply()
    from fusionbench.report.dataframes import Results  # pandas and matplotlib, for this alone

    return Results(folder)


def fuse(
    method: str,
    ir: np.ndarray,
    vis: np.ndarray,
    output_rule: str = "released",
    device: str = "cpu",
    precision: str | None = None,
    compiled: bool = False,
) -> np.ndarray:
    """Fuse one pair and return the 8-bit picture that method would save.

    Args:
        method: e.g. ``gff`` or ``refusion[ivif]``.
        ir: uint8 ``[H,W]`` or ``[H,W,3]``.
        vis: uint8 ``[H,W,3]`` or ``[H,W]``.
        output_rule: ``released`` or ``clip-round``.
        device: ``cpu`` or ``cuda``.
        precision: of the method's network, see :func:`evaluate`.
        compiled: whether it goes through ``torch.compile``.

    Returns:
        uint8 ``[H,W]`` or ``[H,W,3]``.

    Raises:
        FusionbenchError: unknown method or rule, weights that are not at hand or not chosen, arrays of another type or
            shape, or a method that fails on this pair.
    """

    environment.apply()
    output_rule = check_rule(output_rule)
    check_device(device)
    for name, x in (("ir", ir), ("vis", vis)):
        x = np.asarray(x)
        if x.dtype != np.uint8 or not (x.ndim == 2 or (x.ndim == 3 and x.shape[2] in (1, 3))) or not x.size:
            raise FusionbenchError(f"{name} is {x.dtype} of shape {x.shape}; needs uint8 [H,W] or [H,W,3]")
    ir, vis = np.asarray(ir), np.asarray(vis)
    if ir.shape[:2] != vis.shape[:2]:
        raise FusionbenchError(f"ir is {ir.shape[:2]} but vis is {vis.shape[:2]}; pairs must be aligned")
    rows, missing = entries(method, output_rule)
    if not rows:
        raise FusionbenchError("; ".join(map(str, missing)))
    entry = single(method, rows).on(device, precision, compiled)
    if entry.compiled:
        check_compiler(device)
    a, b = (np.ascontiguousarray(x[None] if x.ndim == 2 else x.transpose(2, 0, 1)) for x in (ir, vis))
    b = np.repeat(b, 3, axis=0) if b.shape[0] == 1 else b
    check_room(entry, (a.shape[1], a.shape[2]), device)
    try:
        with told((a.shape[1], a.shape[2])):
            picture = fuse_pair(entry.build(device), entry.output_rule(), grey(a), b, device)
    except FusionbenchError:
        raise
    except Exception as error:  # a method may fail in any way
        raise FusionbenchError(f"{entry.id}: {reason_of(error)}") from error
    fused: np.ndarray = picture[0] if picture.shape[0] == 1 else picture.transpose(1, 2, 0)
    return fused
