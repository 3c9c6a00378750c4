"""Where the time of some steps goes, by ``torch.profiler``: a trace to look at and a table."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile, schedule

from fusionbench.training.options import Note

BEFORE = 2  # steps that are let pass: the first one allocates and chooses algorithms, the second starts the profiler
ROWS = 60  # of the table
TRACE, TABLE = "trace.json", "table.txt"


class Profile:
    """Watches a run from its third step on; call it after each step. No number depends on it.

    Args:
        folder: of the run; files come into ``profile/`` below it.
        steps: how many are watched; 0 for none.
        device: of the run.
        note: takes what came out.
    """

    def __init__(self, folder: Path, steps: int, device: torch.device, note: Note) -> None:
        self.folder, self.device, self.note = folder / "profile", device, note
        self._running: profile | None = None
        self._written = False
        if steps:
            kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
            plan = schedule(wait=BEFORE - 1, warmup=1, active=steps, repeat=1)
            self._running = profile(activities=kinds, schedule=plan, on_trace_ready=self._write)
            self._running.start()

    def __call__(self) -> None:
        """A step is done."""
        if self._running is not None:
            self._running.step()
            if self._written:
                self.close()

    def close(self) -> None:
        """Write what there is, where the run ends early."""
        if self._running is not None:
            running, self._running = self._running, None
            running.stop()
            if not self._written:
                self.note(f"nothing was profiled: the {BEFORE} steps before it were not done")

    def _write(self, found: profile) -> None:
        if self._written:
            return
        self._written = True
        order = "self_device_time_total" if self.device.type == "cuda" else "self_cpu_time_total"
        try:
            self.folder.mkdir(exist_ok=True)
            table = found.key_averages().table(sort_by=order, row_limit=ROWS, max_name_column_width=60)
            (self.folder / TABLE).write_text(table + "\n", encoding="utf-8")
            found.export_chrome_trace(str(self.folder / TRACE))
        except (OSError, RuntimeError) as error:
            self.note(f"{self.folder}: the profile cannot be written ({error}); training goes on")
            return
        self.note(f"{self.folder / TABLE}: where the time went; {TRACE} beside it opens in https://ui.perfetto.dev")
