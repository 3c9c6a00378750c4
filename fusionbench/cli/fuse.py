"""``fusionbench fuse``."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click

from fusionbench.cli.options import Bar, names, records
from fusionbench.cli.spelling import note
from fusionbench.errors import DataError, FusionbenchError

if TYPE_CHECKING:
    from fusionbench.evaluation.entries import Entry
    from fusionbench.pixels.output_rule import OutputRule
    from fusionbench.plugins.method import Method

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
Job = tuple[Path, Path, Path]  # infrared, visible, target


@dataclass(frozen=True, kw_only=True)
class Files:
    """The sources and where the pictures go."""

    ir: Annotated[
        Path,
        click.option(
            "--ir", required=True, type=click.Path(path_type=Path), help="Infrared image, or folder of images."
        ),
    ]
    vis: Annotated[
        Path,
        click.option(
            "--vis", required=True, type=click.Path(path_type=Path), help="Visible image, or folder of images."
        ),
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


@click.command("fuse")
@click.argument("method", shell_complete=names("method"))
@records(files=Files, how=FuseOptions)
def fuse_command(method: str, files: Files, how: FuseOptions) -> None:
    """Fuse a pair of images, or all pairs of two folders, and save what the method would save.

    In folders, images pair by name without suffix. Exit code 1 when some pairs failed; the others are saved.
    """
    from fusionbench.evaluation.entries import entries, single
    from fusionbench.evaluation.plan import check_rule
    from fusionbench.runtime.allocator import keep_memory
    from fusionbench.runtime.device import check_device

    keep_memory()
    rule_name = check_rule(how.output_rule)
    check_device(how.device)
    jobs = pairs(files)
    check_targets(jobs)
    usable, missing = entries(with_settings(method, how.settings), rule_name)
    if not usable:
        raise FusionbenchError("; ".join(map(str, missing)))
    entry = single(method, usable)
    built, rule = entry.build(how.device), rule_of(entry, how)
    failed = 0
    with Bar() as bar:
        for done, job in enumerate(jobs, 1):
            try:
                fuse_files(built, rule, job, how.device)
            except Exception as error:  # a method may fail in any way; the other pairs go on
                failed += 1
                text = " ".join(str(error).split())
                known = isinstance(error, FusionbenchError)
                note(f"failed: {text if known else f'{job[1]}: {type(error).__name__}: {text}'}")
            bar(f"fusing {entry.id}", done, len(jobs))
    note(f"{len(jobs) - failed} of {len(jobs)} fused with {entry.id} into {files.output}")
    if failed:
        sys.exit(1)


def rule_of(entry: Entry, how: FuseOptions) -> OutputRule:
    """The output rule that was asked for."""
    rule = entry.output_rule()
    return dataclasses.replace(rule, chroma="none") if how.grey else rule


def with_settings(method: str, settings: tuple[str, ...]) -> str:
    """``name[weights]`` and ``--set`` options as one entry spec."""
    name, bracket, inside = method.partition("[")
    parts = [*filter(None, [inside.rstrip("]") if bracket else ""]), *settings]
    return f"{name}[{','.join(parts)}]" if parts else name


def pairs(files: Files) -> list[Job]:
    """The images of two files or two folders.

    Raises:
        FusionbenchError: nothing to pair, or a file and a folder.
    """
    ir, vis, output = files.ir, files.vis, files.output
    for path in (ir, vis):
        if not path.exists():
            raise FusionbenchError(f"{path}: no such file or folder")
    if ir.is_dir() != vis.is_dir():
        raise FusionbenchError("--ir and --vis must both be files or both be folders")
    if not ir.is_dir():
        return [(ir, vis, output / f"{vis.stem}.png" if output.is_dir() else output)]
    left, right = ({p.stem: p for p in sorted(d.iterdir()) if p.suffix.lower() in SUFFIXES} for d in (ir, vis))
    both = sorted(left.keys() & right.keys())
    if not both:
        raise FusionbenchError(f"no image name is in both {ir} ({len(left)} images) and {vis} ({len(right)} images)")
    for lone in sorted(left.keys() ^ right.keys()):
        note(f"warning: {lone}: no partner, left out")
    return [(left[n], right[n], output / f"{n}.png") for n in both]


def check_targets(jobs: list[Job]) -> None:
    """Raise when a picture would be written onto one of the sources."""
    sources = {p.resolve() for a, b, _ in jobs for p in (a, b)}
    for *_, target in jobs:
        if target.resolve() in sources:
            raise FusionbenchError(f"-o {target}: is one of the sources; name another file or folder")


def fuse_files(method: Method, rule: OutputRule, job: Job, device: str) -> None:
    """Fuse two files and save the picture.

    Raises:
        FusionbenchError: an image that cannot be read or written, or sizes that differ.
    """
    import numpy as np

    from fusionbench.evaluation.fusing import fuse_pair
    from fusionbench.pixels.images import grey, read_image, write_image
    from fusionbench.plugins.method import Context
    from fusionbench.results.store import storage_error

    ir, vis, target = job
    a, b = grey(read_image(ir)), read_image(vis)
    b = np.repeat(b, 3, axis=0) if b.shape[0] == 1 else b
    if a.shape[-2:] != b.shape[-2:]:
        raise DataError(
            f"{ir} is {a.shape[-2]}x{a.shape[-1]} but {vis} is {b.shape[-2]}x{b.shape[-1]} (height x width); "
            "pairs must be aligned"
        )
    picture = fuse_pair(method, rule, a, b, device, Context([vis.stem]))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_image(target, picture)
    except OSError as error:
        raise storage_error(target, error) from None
