"""``fusionbench fuse``."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click

from fusionbench.cli.options import compiled, names, precision, records
from fusionbench.cli.progress import Bar
from fusionbench.cli.reading_options import ReadingOptions
from fusionbench.cli.spelling import note
from fusionbench.errors import FusionbenchError

if TYPE_CHECKING:
    import numpy as np

    from fusionbench.cli.fuse_jobs import Job
    from fusionbench.data.pairing import Reading
    from fusionbench.evaluation.entries import Entry
    from fusionbench.pixels.output_rule import OutputRule


SHOWN = 3  # failures of one kind that are printed


@dataclass(frozen=True, kw_only=True)
class Files:
    """The sources and where the pictures go."""

    ir: Annotated[
        Path,
        click.option(
            "--ir", required=True, type=click.Path(path_type=Path), help="Infrared image or video, or a folder of them."
        ),
    ]
    vis: Annotated[
        Path | None,
        click.option("--vis", type=click.Path(path_type=Path), help="The visible one [with --rgbt4: that of --ir]."),
    ]
    output: Annotated[
        Path,
        click.option(
            "-o", "--output", required=True, type=click.Path(path_type=Path), help="File, or folder for folders."
        ),
    ]


@dataclass(frozen=True, kw_only=True)
class FuseOptions:
    """How a method fuses and what is saved."""

    output_rule: Annotated[
        str, click.option("--output-rule", default="released", show_default=True, help="released or clip-round.")
    ]
    settings: Annotated[
        tuple[str, ...],
        click.option("--set", "settings", multiple=True, metavar="OPTION=VALUE", help="An option of the method."),
    ]
    grey: Annotated[bool, click.option("--grey", is_flag=True, help="Save the fused luma, without colour.")]
    device: Annotated[str, click.option("--device", default="cpu", show_default=True)]
    precision: Annotated[str | None, precision]
    compiled: Annotated[bool, compiled]


@click.command("fuse")
@click.argument("method", shell_complete=names("method"))
@records(files=Files, how=FuseOptions, read=ReadingOptions)
def fuse_command(method: str, files: Files, how: FuseOptions, read: ReadingOptions) -> None:
    """Fuse a pair of images or videos, or all pairs of two folders, and save what the method would save.

    In folders, files pair by name without suffix. Exit code 1 when some pairs failed; the others are saved.
    """
    if files.vis is None and not read.rgbt4:
        raise click.UsageError("Missing option '--vis'.")
    from fusionbench.cli.fuse_jobs import jobs_of
    from fusionbench.data.pairs import check_depth
    from fusionbench.evaluation.entries import entries, single
    from fusionbench.evaluation.plan import check_rule
    from fusionbench.runtime.allocator import keep_memory
    from fusionbench.runtime.arithmetic import check_compiler
    from fusionbench.runtime.device import check_device

    keep_memory()
    rule_name = check_rule(how.output_rule)
    check_device(how.device)
    reading = read.reading()
    jobs = jobs_of(files.ir, files.vis or files.ir, files.output, reading)
    check_depth([job.ir for job in jobs if not job.is_video], reading)
    usable, missing = entries(with_settings(method, how.settings), rule_name)
    if not usable:
        raise FusionbenchError("; ".join(map(str, missing)))
    entry = single(method, usable).on(how.device, how.precision, how.compiled)
    if entry.compiled:
        check_compiler(how.device)
    work = Work(entry, reading, how)
    with Bar() as bar:
        for done, job in enumerate(jobs, 1):
            work.do(job, bar if len(jobs) == 1 else None)
            bar(f"fusing {entry.id}", done, len(jobs))
    failed = work.report()
    note(f"{len(jobs) - failed} of {len(jobs)} fused with {entry.id} into {files.output}")
    if failed:
        sys.exit(1)


class Work:
    """Fuses job after job.

    Args:
        entry: on its device.
        reading: how files are read.
        how: the user's options.
    """

    def __init__(self, entry: Entry, reading: Reading, how: FuseOptions) -> None:
        self.entry, self.reading, self.how = entry, reading, how
        self.method, self.rule = entry.build(how.device), rule_of(entry, how)
        self.looks: dict[str, Collection[str]] = {}
        self.failures: dict[str, list[str]] = {}  # the reason without names to every line of it

    def do(self, job: Job, bar: Bar | None) -> None:
        """Fuse a job; a method may fail in any way, the other jobs go on."""
        from fusionbench.cli.fuse_video import fuse_videos
        from fusionbench.evaluation.scoring import reason_of

        try:
            if job.is_video:
                fuse_videos(self, job, bar)
            else:
                self.pictures(job)
        except Exception as error:
            known = isinstance(error, FusionbenchError)
            line = f"failed: {reason_of(error) if known else f'{job.vis}: {reason_of(error)}'}"
            same = self.failures.setdefault(
                re.sub(r"\d+", "", line.replace(job.vis.stem, "").replace(job.ir.stem, "")), []
            )
            same.append(line)
            if len(same) <= SHOWN:
                note(line)

    def report(self) -> int:
        """Say what else there is to say, once; the number of jobs that failed."""
        from fusionbench.data.looks import warnings

        for lines in self.failures.values():
            if len(lines) > SHOWN:
                note(f"failed: {len(lines) - SHOWN} more like it, the last: {lines[-1].removeprefix('failed: ')}")
        for text, _ in warnings(self.looks).values():
            note(f"warning: {text}")
        return sum(map(len, self.failures.values()))

    def fused(self, ir: np.ndarray, vis: np.ndarray, name: str) -> np.ndarray:
        """The picture that a pair becomes, uint8 ``[1 or 3,H,W]``, of pictures as they were read."""
        from fusionbench.data.pairs import for_methods
        from fusionbench.evaluation.fusing import fuse_pair
        from fusionbench.evaluation.room import check_room
        from fusionbench.evaluation.small import told
        from fusionbench.plugins.method import Context

        size = (ir.shape[-2], ir.shape[-1])
        check_room(self.entry, size, self.how.device)
        with told(size):
            return fuse_pair(self.method, self.rule, *for_methods(ir, vis), self.how.device, Context([name]))

    def pictures(self, job: Job) -> None:
        """Fuse two pictures and save the result.

        Raises:
            FusionbenchError: an image that cannot be read or written, or sizes that differ.
        """
        from fusionbench.data.looks import look
        from fusionbench.data.pairs import read_pair
        from fusionbench.pixels.images import write_image
        from fusionbench.results.storage_errors import storage_error

        ir, vis = read_pair(job.ir, job.vis, self.reading)
        self.looks[job.vis.stem] = look(ir, vis)
        picture = self.fused(ir, vis, job.vis.stem)
        try:
            write_image(job.target, picture)
        except OSError as error:
            raise storage_error(job.target, error) from None


def rule_of(entry: Entry, how: FuseOptions) -> OutputRule:
    """The output rule that was asked for."""
    rule = entry.output_rule()
    return dataclasses.replace(rule, chroma="none") if how.grey else rule


def with_settings(method: str, settings: tuple[str, ...]) -> str:
    """``name[weights]`` and ``--set`` options as one entry spec."""
    name, bracket, inside = method.partition("[")
    parts = [*filter(None, [inside.rstrip("]") if bracket else ""]), *settings]
    return f"{name}[{','.join(parts)}]" if parts else name
