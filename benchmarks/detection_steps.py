"""Operations of a training step of the detectors, and which of them wait for a device.

    python benchmarks/detection_steps.py [--batch 16] [--networks yolov8-n,yolox-s] [--processor]

Runs on a processor, in the way of a graphics card unless --processor is given. An operation is a call that PyTorch
dispatches, about a kernel each; those of the network's own forward pass are listed apart. Prints Markdown.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import nullcontext
from pathlib import Path

import torch

from fusionbench.metrics import as_on_a_device
from fusionbench.tasks import detection, openmmlab
from fusionbench.tasks.network import Target
from fusionbench.training.precision import Precision

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.waits import Waits

SIZE = (128, 160)  # the numbers do not depend on it


def targets(count: int, most: int = 8) -> list[Target]:
    """0 to 8 objects in each picture."""
    draw, found = torch.Generator().manual_seed(0), []
    edges = torch.tensor([float(SIZE[1]), SIZE[0]])
    for _ in range(count):
        number = int(torch.randint(0, most + 1, (1,), generator=draw))
        sides = torch.rand(number, 2, generator=draw) * edges / 2 + 6
        corner = torch.rand(number, 2, generator=draw) * (edges - sides)
        labels = torch.randint(0, 6, (number,), generator=draw)
        found.append(Target(boxes=torch.cat((corner, corner + sides), 1), labels=labels))
    return found


def counted(name: str, batch: int, at_once: bool) -> tuple[int, int, int, int]:
    """Operations of the network's forward pass, of assignment and losses, of the update; and how many wait."""
    torch.manual_seed(0)
    network = detection.build(name, 6).train()
    images = torch.rand(batch, 3, *SIZE)
    optimiser = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9, foreach=True)
    with as_on_a_device() if at_once else nullcontext():
        with Waits() as trunk, torch.no_grad():
            network.features(images)
        wanted = targets(batch)
        with Waits() as forward:
            loss = network.loss(images, wanted)
        with Waits() as update:
            Precision().update(loss, optimiser, clip=10.0)
    waits = len(forward.waiting) + len(update.waiting)
    return trunk.operations, forward.operations - trunk.operations, update.operations, waits


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--networks", default="yolov8-n,yolov5-s,yolox-s,retinanet-r18,detr-r50")
    parser.add_argument("--processor", action="store_true")
    options = parser.parse_args()
    openmmlab.load("mmdet")
    print("| | network | head, assignment, losses | update | waits |\n|---|--:|--:|--:|--:|")
    for name in options.networks.split(","):
        numbers = counted(name, options.batch, not options.processor)
        print(f"| {name} | " + " | ".join(f"{n:,}" for n in numbers) + " |", flush=True)


if __name__ == "__main__":
    main()
