"""Videos of ``fusionbench fuse``."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np

from fusionbench.data import video
from fusionbench.data.looks import look
from fusionbench.data.pairs import size_text
from fusionbench.errors import DataError
from fusionbench.results.storage_errors import storage_error

if TYPE_CHECKING:
    from fusionbench.cli.fuse import Work
    from fusionbench.cli.fuse_jobs import Job
    from fusionbench.cli.progress import Bar


def fuse_videos(work: Work, job: Job, bar: Bar | None) -> None:
    """Fuse two videos frame by frame into a third.

    Raises:
        FusionbenchError: unreadable, of different length, rate or size, or the result cannot be written.
    """
    facts = video.check_pair(job.ir, job.vis)
    try:
        with video.writer(job.target, facts.rate) as out:
            pairs = zip_longest(video.frames(job.ir, work.reading, infrared=True), video.frames(job.vis, work.reading))
            for number, (ir, vis) in enumerate(pairs, 1):
                _check(job, number, ir, vis)
                work.looks[f"{job.vis.name}, frame {number}"] = look(ir, vis)
                out.add(work.fused(ir, vis, f"{job.vis.stem}-{number}"), work.how.grey)
                if bar:
                    bar(f"fusing {job.vis.name}", number, facts.frames)
    except OSError as error:
        raise storage_error(job.target, error) from None


def _check(job: Job, number: int, ir: np.ndarray | None, vis: np.ndarray | None) -> None:
    if ir is None or vis is None:
        raise DataError(f"{job.ir if ir is None else job.vis}: ends before frame {number}, the other does not")
    if ir.shape[1:] != vis.shape[1:]:
        sizes = [f"{path} is {size_text(x)}" for path, x in ((job.ir, ir), (job.vis, vis))]
        raise DataError(f"sizes differ: {', '.join(sizes)} (height x width); a pair must be aligned pixel by pixel")
