"""``fusionbench fuse``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from fusionbench.cli.options import Bar, names

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")


@click.command("fuse")
@click.argument("method", shell_complete=names("method"))
@click.option("--ir", required=True, type=click.Path(path_type=Path), help="Infrared image, or folder of images.")
@click.option("--vis", required=True, type=click.Path(path_type=Path), help="Visible image, or folder of images.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="File, or folder for folders.")
@click.option("--output-rule", default="released", show_default=True, help="released or clip-round.")
@click.option("--set", "settings", multiple=True, metavar="OPTION=VALUE", help="An option of the method.")
@click.option("--grey", is_flag=True, help="Save the fused luma, without colour.")
@click.option("--device", default="cpu", show_default=True)
def fuse_command(
    method: str, ir: Path, vis: Path, output: Path, output_rule: str, settings: tuple[str, ...], grey: bool, device: str
) -> None:
    """Fuse a pair of images, or all pairs of two folders, and save what the method would save.

    In folders, images pair by name without suffix. Exit code 1 when some pairs failed; the others are saved.
    """
    import dataclasses

    from fusionbench.errors import FusionbenchError
    from fusionbench.evaluation.entries import entries, single
    from fusionbench.evaluation.plan import check_rule
    from fusionbench.runtime.allocator import keep_memory
    from fusionbench.runtime.device import check_device

    keep_memory()
    check_rule(output_rule)
    check_device(device)
    jobs = pairs(ir, vis, output)
    check_targets(jobs)
    found, missing = entries(with_settings(method, settings), output_rule)
    if not found:
        raise FusionbenchError("; ".join(map(str, missing)))
    found = [single(method, found)]
    entry = found[0]
    rule = entry.output_rule()
    if grey:
        rule = dataclasses.replace(rule, chroma="none")
    built = entry.build(device)
    failed = 0
    with Bar() as bar:
        for done, (a, b, target) in enumerate(jobs, 1):
            try:
                fuse_files(built, rule, a, b, target, device)
            except Exception as error:  # a method may fail in any way; the other pairs go on
                failed += 1
                text = " ".join(str(error).split())
                known = isinstance(error, FusionbenchError)
                click.echo(f"failed: {text if known else f'{b}: {type(error).__name__}: {text}'}", err=True)
            bar(f"fusing {entry.id}", done, len(jobs))
    click.echo(f"{len(jobs) - failed} of {len(jobs)} fused with {entry.id} into {output}", err=True)
    if failed:
        sys.exit(1)


def with_settings(method: str, settings: tuple[str, ...]) -> str:
    """``name[weights]`` and ``--set`` options as one entry spec."""
    name, bracket, inside = method.partition("[")
    parts = [*filter(None, [inside.rstrip("]") if bracket else ""]), *settings]
    return f"{name}[{','.join(parts)}]" if parts else name


def pairs(ir: Path, vis: Path, output: Path) -> list[tuple[Path, Path, Path]]:
    """(infrared, visible, target) files.

    Raises:
        FusionbenchError: nothing to pair, or a file and a folder.
    """
    from fusionbench.errors import FusionbenchError

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
        click.echo(f"warning: {lone}: no partner, left out", err=True)
    return [(left[n], right[n], output / f"{n}.png") for n in both]


def check_targets(jobs: list[tuple[Path, Path, Path]]) -> None:
    """Raise when a picture would be written onto one of the sources."""
    from fusionbench.errors import FusionbenchError

    sources = {p.resolve() for a, b, _ in jobs for p in (a, b)}
    for *_, target in jobs:
        if target.resolve() in sources:
            raise FusionbenchError(f"-o {target}: is one of the sources; name another file or folder")


def fuse_files(method: Any, rule: Any, ir: Path, vis: Path, target: Path, device: str) -> None:
    """Fuse two files and save the picture.

    Raises:
        FusionbenchError: an image that cannot be read or written, or sizes that differ.
    """
    import numpy as np

    from fusionbench.errors import DataError
    from fusionbench.evaluation.fusing import fuse_pair
    from fusionbench.pixels.images import grey, read_image, write_image
    from fusionbench.plugins.method import Context
    from fusionbench.results.store import storage_error

    a, b = grey(read_image(ir)), read_image(vis)
    b = np.repeat(b, 3, axis=0) if b.shape[0] == 1 else b
    if a.shape[-2:] != b.shape[-2:]:
        raise DataError(
            f"{ir} is {a.shape[-1]}x{a.shape[-2]} but {vis} is {b.shape[-1]}x{b.shape[-2]}; pairs must be aligned"
        )
    picture = fuse_pair(method, rule, a, b, device, Context([vis.stem]))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_image(target, picture)
    except OSError as error:
        raise storage_error(target, error) from None
