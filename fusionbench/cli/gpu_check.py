"""What ``fusionbench doctor --gpu`` computes on a device."""

from __future__ import annotations

from collections.abc import Iterator

from fusionbench.cli.findings import Finding
from fusionbench.counting import counted
from fusionbench.errors import FusionbenchError
from fusionbench.plugins.cards import cards

REPAIR = "update the driver, and install the build of torch that is made for it (https://pytorch.org)"
CLOSE = 1e-12  # of CPU and GPU, relative


def gpu(device: str = "cuda") -> Iterator[Finding]:
    """Look at a device: whether it is there, computes known values, and gives every metric the processor's value."""
    from fusionbench.runtime.device import check_device
    from fusionbench.runtime.known import COMPUTED, differing

    try:
        check_device(device)
    except FusionbenchError as error:
        yield Finding("bad", "GPU", str(error).partition("; ")[0], REPAIR)
        return
    wrong = differing(device)
    for name in COMPUTED:
        found = wrong.get(name, "the known value")
        yield Finding("bad" if name in wrong else "ok", f"{device}, {name}", found, REPAIR if name in wrong else "")
    names, worst = cards("metric"), {n: _difference(n, device) for n in cards("metric")}
    far = {n: d for n, d in worst.items() if not d <= CLOSE}
    for name, off in far.items():
        yield Finding("bad", f"{device}, {name}", f"{off:.1e} from the processor's value (relative)", REPAIR)
    if not far:
        largest = max(worst.values(), default=0.0)
        found = f"as on the processor, within {largest:.1e} (relative)"
        yield Finding("ok", f"{device}, {counted(len(names), 'metric')}", found)


def _difference(name: str, device: str) -> float:
    """Largest relative difference of a metric's value of fixed pictures from the processor's; NaN where one lacks."""
    import torch

    from fusionbench.metrics import as_on_a_device
    from fusionbench.plugins.registry import resolve

    number = torch.arange(2 * 193 * 174)
    ir, vis = (((number * k // 97) % 256).to(torch.uint8).view(2, 193, 174) for k in (53, 31))
    images = ((ir.int() + 2 * vis) // 3).to(torch.uint8), ir, vis
    metric = resolve("metric", name)
    expected = metric(*images)
    with as_on_a_device():
        value = metric(*(x.to(device) for x in images)).cpu()
    if value.isnan().equal(expected.isnan()) and value.isnan().any():
        value, expected = value.nan_to_num(), expected.nan_to_num()
    return float(((value - expected).abs() / expected.abs().clamp(min=1)).max())
