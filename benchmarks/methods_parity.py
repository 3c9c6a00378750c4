"""docs/methods-parity.md: which published method was compared with what, from the cards, whose claims a test measures.

    python benchmarks/methods_parity.py [--check]

With ``--check`` nothing is written; exit code 1 where the page is not what the cards say.
"""

from __future__ import annotations

import sys
from pathlib import Path

from fusionbench.plugins.cards import MethodCard, cards
from fusionbench.plugins.records import ParityFacts

PAGE = Path(__file__).parents[1] / "docs" / "methods-parity.md"
TEXT = """# Parity of the methods

What the networks here were compared with: arrays that the authors' released code gave. A test measures each and fails
above what stands here (`tests/methods/test_method_parity.py`); `python benchmarks/methods_parity.py` writes this page
from the cards. "max abs" bounds the largest difference of the network's output; "equal" is a lower bound of the share
of equal values of the 8-bit picture that the authors' program saves, of which none is more than one level apart.

Weights are the authors' checkpoint of that name, or **generated**: for every floating tensor with name n and shape s,
`rng = numpy.random.default_rng(zlib.crc32(n.encode()))`, then `0.5 + rng.random(s)` where n ends with `running_var`,
`0.1 * rng.standard_normal(s)` with `running_mean`, `1 + 0.1 * rng.standard_normal(s)` for vectors whose name ends with
`weight`, else `rng.standard_normal(s) * gain / sqrt(fan_in)`, where fan_in is the product of all sizes but the first.
With generated weights names, shapes and arithmetic are proven; the authors' checkpoint is loaded strictly by them.
"in file" are weights that lie beside the arrays: those of a network at the start of training. TDFusion's fusion network
is ReFusion's; of CLDyN this is the fusion network alone, and its closed loop, given a task's features, agrees with the
released code's in float64 to 1e-12 (`tests/methods/test_cldyn.py`), as TDFusion's meta step does to 1e-8
(`tests/methods/test_tdfusion.py`).

A card of ours that names a paper has figures here, or agreement with published pictures, or says why there is neither
(`unverified`, below), and then its rows have no rank; a test holds every card to it. Average, maximum and the Laplacian
pyramid are baselines of ours, in nobody's program, and are ranked.

| method | year | family | parameters | compared | weights | max abs | equal |
|---|--:|---|--:|---|---|--:|--:|
"""
LEFT_OUT = """
## What is not here

- **UNIFusion**: its weights are released, but its program reads no images but base and detail layers made by a MATLAB
  program (`matlab_code_for_creating_base_and_detail_layers` of <https://github.com/AWCXV/UNIFusion>). That
  filter would have to be written again and compared with MATLAB, which was not at hand.
"""


def what(facts: ParityFacts) -> str:
    """The compared array, with the options it was made under."""
    options = ", ".join(f"{key}={value}" for key, value in facts.options.items())
    name = facts.output.removeprefix("out_") or facts.output
    return name + (f" ({options})" if options else "")


def rows(card: MethodCard) -> list[str]:
    """A method's lines."""
    facts = card.facts
    lines = []
    for number, parity in enumerate(facts.parity):
        first = [card.title, str(facts.year), facts.family, f"{facts.parameters:,}"] if not number else [""] * 4
        equal = f"{parity.equal:.2%}" if parity.picture else ""
        cells = [*first, what(parity), parity.weights, f"{parity.max_abs:.0e}", equal]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def page() -> str:
    """The whole page."""
    every = sorted(cards("method").values(), key=lambda card: (card.facts.year or 0, card.name))
    compared = [card for card in every if card.facts.parity]
    text = TEXT + "\n".join(line for card in compared for line in rows(card)) + "\n"
    remarks = [(card, remark) for card in every for remark in (card.facts.unverified, card.facts.differs) if remark]
    if remarks:
        text += "\n## Where a row differs from the publication, or could not be compared\n\n"
        text += "\n".join(f"- **{card.title}**: {remark}" for card, remark in remarks) + "\n"
    return text + LEFT_OUT


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(
            0 if PAGE.read_text(encoding="utf-8") == page() else f"{PAGE} is not what the cards say; write it anew"
        )
    PAGE.write_text(page(), encoding="utf-8")
