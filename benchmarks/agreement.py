"""How near the classical methods come to pictures that others published of the same pairs.

    python benchmarks/agreement.py tif gff      # prints the [[agreement]] blocks of their cards, measured anew
    python benchmarks/agreement.py --pairs tif  # and a line for each pair
    python benchmarks/agreement.py nsct_sr --names fight,man  # of these pairs alone

It writes nothing. Pairs and pictures are those of the reference material beside the checkout (or at ``--shared``).
Methods with weights run with the first that is added (``fusionbench weights list``).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fusionbench import environment
from fusionbench.cards import cards
from fusionbench.colour import luma
from fusionbench.data import open_dataset
from fusionbench.images import read_image
from fusionbench.method import Method
from fusionbench.plugins.cards import card
from fusionbench.plugins.records import AgreementFacts
from fusionbench.plugins.weights import hint, installed, verify
from fusionbench.registry import resolve

REPO = Path(__file__).parents[1]


@dataclass(frozen=True)
class Agreement:
    """Of one pair: its name, the mean absolute difference in levels, and the correlation."""

    name: str
    difference: float
    correlation: float


def ready(name: str) -> Method:
    """A method as it runs, with weights where it needs some.

    Raises:
        LookupError: they are not here; its text says how to add them.
    """
    entry, method = card("method", name), resolve("method", name)()
    if entry.facts.requires_weights:
        if not (usable := installed(name)):
            raise LookupError(f"{name} has no weights here: {hint(entry)}")
        method.load(verify(usable[0]))
    return method


def picture(method: Method, ir: Tensor, vis: Tensor, colour: str) -> Tensor:
    """Levels ``[1 or 3,H,W]`` of one pair in [0,1], before any colour returns: clipped and rounded."""
    if colour == "per-channel":
        fused = method.fuse(ir.expand(3, -1, -1, -1), vis[0, :, None].expand(-1, 3, -1, -1))[:, 0]
    else:
        fused = method.fuse(ir, vis)[0]
    return (fused.clamp(0, 1) * 255).round()


def measure(method: Method, facts: AgreementFacts, shared: Path, names: tuple[str, ...] = ()) -> Iterator[Agreement]:
    """Compare pair by pair; ``names`` chooses some."""
    dataset = open_dataset(facts.dataset, shared / "datasets")
    for name in names or dataset.ids("test"):
        pair = dataset.pair("test", name)
        found = sorted((shared / "reference" / facts.folder).glob(f"{name}.*"))
        if not found:
            continue
        theirs = torch.from_numpy(read_image(found[0])).float().expand(3, -1, -1)
        ir, vis = (torch.from_numpy(x)[None].float() / 255 for x in (pair.ir, pair.vis))
        with torch.inference_mode():
            ours = picture(method, ir, vis, facts.colour)
        if facts.colour == "grey":
            theirs = luma(theirs).round()
        correlation = np.corrcoef(ours.flatten().numpy(), theirs.flatten().numpy())[0, 1]
        yield Agreement(name, float((ours - theirs).abs().mean()), float(correlation))


def block(facts: AgreementFacts, pairs: list[Agreement]) -> str:
    """The card's table, with what was measured."""
    lines = [
        "[[agreement]]",
        f"source = {json.dumps(facts.source)}",
        f"folder = {json.dumps(facts.folder)}",
        f"dataset = {json.dumps(facts.dataset)}",
        f"colour = {json.dumps(facts.colour)}",
        f"pairs = {len(pairs)}",
        f"difference = {np.mean([pair.difference for pair in pairs]):.2f}",
        f"correlation = {np.mean([pair.correlation for pair in pairs]):.4f}",
        f"worst = {min(pair.correlation for pair in pairs):.4f}",
    ]
    return "\n".join([*lines, f"note = {json.dumps(facts.note)}"] if facts.note else lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", help="names; all whose cards have an agreement if none is given")
    parser.add_argument("--pairs", action="store_true", help="print each pair too")
    parser.add_argument("--names", default="", help="pairs to compare, separated by commas; all by default")
    parser.add_argument("--shared", type=Path, default=REPO.parent / "shared", help="the reference material")
    arguments = parser.parse_args()
    environment.apply()
    listed = cards("method")
    for name in arguments.methods or [name for name, found in listed.items() if found.facts.agreement]:
        try:
            method = ready(name)
        except LookupError as error:
            print(f"# {error}\n")
            continue
        for facts in listed[name].facts.agreement:
            pairs = list(measure(method, facts, arguments.shared, tuple(filter(None, arguments.names.split(",")))))
            if arguments.pairs:
                for pair in pairs:
                    print(f"# {pair.name}: {pair.difference:.2f} {pair.correlation:.4f}")
            print(f"# {name}\n{block(facts, pairs)}\n", flush=True)


if __name__ == "__main__":
    main()
