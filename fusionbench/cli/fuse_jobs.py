"""What ``fusionbench fuse`` has to do: which files are fused into which."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fusionbench.cli.spelling import note
from fusionbench.counting import counted
from fusionbench.data import video
from fusionbench.data.pairing import Pattern, Reading, by_order, holds, nearest, partners, shown, unpaired
from fusionbench.errors import FusionbenchError
from fusionbench.pixels.names import SUFFIXES, listing, natural


@dataclass(frozen=True)
class Job:
    """An infrared and a visible file, both pictures or both videos, and the file that they become."""

    ir: Path
    vis: Path
    target: Path

    @property
    def is_video(self) -> bool:
        """Whether frames are fused."""
        return video.is_video(self.vis)


def jobs_of(ir: Path, vis: Path, output: Path, reading: Reading) -> list[Job]:
    """The pictures or videos of two files or two folders.

    Raises:
        FusionbenchError: nothing to pair, a file and a folder, or a target that is one of the sources.
    """
    for path in (ir, vis):
        if not path.exists():
            raise FusionbenchError(f"{path}: no such file or folder")
    if ir.is_dir() != vis.is_dir():
        raise FusionbenchError("ir= and vis= must both be files or both be folders")
    jobs = _of_folders(ir, vis, output, reading) if ir.is_dir() else [_of_files(ir, vis, output)]
    if any(job.is_video for job in jobs):
        video.check_installed()
    sources = {p.resolve() for job in jobs for p in (job.ir, job.vis)}
    for job in jobs:
        if job.target.resolve() in sources:
            raise FusionbenchError(f"-o {job.target}: is one of the sources; name another file or folder")
        if job.is_video:
            video.check_target(job.target)
    return jobs


def _of_files(ir: Path, vis: Path, output: Path) -> Job:
    if video.is_video(ir) != video.is_video(vis):
        raise FusionbenchError(f"{ir} and {vis}: a video and a picture; a video is fused with a video")
    suffix = ".mkv" if video.is_video(vis) else ".png"
    return Job(ir, vis, output / f"{vis.stem}{suffix}" if output.is_dir() else output)


def _of_folders(ir: Path, vis: Path, output: Path, reading: Reading) -> list[Job]:
    suffixes: tuple[str, ...] = SUFFIXES
    suffix = ".png"
    if not (reading.pattern("vis") or listing(vis)) and listing(vis, video.SUFFIXES):
        suffixes, suffix = video.SUFFIXES, ".mkv"
    right = (reading.pattern("vis") or Pattern()).find(vis, suffixes)
    left = partners(right, (reading.pattern("ir") or Pattern()).find(ir, suffixes))
    if reading.match == "order" and left.keys() != right.keys() and left and right:
        left = by_order(sorted(right, key=natural), left, "visible ones", ir)
        note(f"paired by order: {shown({right[i].name: path for i, path in left.items()})}")
    both = sorted(left.keys() & right.keys())
    if not both:
        remedy = unpaired(left, right) or "; ".join(f"{d} {holds(d)}" for d in dict.fromkeys((ir, vis)))
        raise FusionbenchError(f"no infrared picture is named like a visible one: {remedy}")
    if lone := sorted(left.keys() ^ right.keys()):
        here, other = (left, right) if lone[0] in left else (right, left)
        near = nearest(lone[0], other.keys() - here.keys())
        note(f"warning: {counted(len(lone), 'file')} without a partner left out, first {here[lone[0]]}{near}")
    name = (reading.pattern("fused") or Pattern()).text
    return [Job(left[i], right[i], output / f"{name.replace('{id}', i)}{suffix}") for i in both]
