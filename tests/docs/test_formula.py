"""Formulas of docstrings and cards as MathML."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

import fusionbench.metrics
from benchmarks._docs.formula import clause, drawn, mathml
from fusionbench.plugins.cards import cards


def read(element: ET.Element) -> str:
    """MathML in a linear form of its own, written here."""
    parts = [read(child) for child in element]
    match element.tag:
        case "mfrac":
            return f"[{parts[0]}]/[{parts[1]}]"
        case "msub" | "munder":
            return f"{parts[0]}_{parts[1]}"
        case "msup":
            return f"{parts[0]}^{parts[1]}"
        case "msubsup":
            return f"{parts[0]}_{parts[1]}^{parts[2]}"
        case "msqrt":
            return f"root[{''.join(parts)}]"
    return (element.text or "") + "".join(parts)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("(a + b) / 2", "[a+b]/[2]"),
        ("2 x / (y + 1) z", "[2x]/[y+1]z"),  # one factor below, the rest beside
        (".9 / (1 + x) * .8 / (1 + y)", "[0.9]/[1+x]∗[0.8]/[1+y]"),
        ("sum_k p_k log2 p_k", "∑_kp_klog_2p_k"),
        ("sum log(1 + s) / sum log(t)", "[∑log⁡(1+s)]/[∑log⁡(t)]".replace("⁡", "\u2061")),
        ("Q_XF^2", "Q_XF^2"),
        ("prod_k Q_k^w_k", "∏_kQ_k^w_k"),
        ("sqrt((x^2 + y^2) / 2)", "root[[x^2+y^2]/[2]]"),
        ("||F - I||_2", "∥F−I∥_2"),
        ("||a - b| - pi/2|", "||a−b|−[π]/[2]|"),
        ("D(I||F)", "D\u2061(I∥F)"),
        ("C'^2", "C^′2"),
        ("G2*x / G4*x", "[G_2∗x]/[G_4∗x]"),
        ("10 log10(x)", "10log_10\u2061(x)"),
        ("c_I / (c_I + c_V)", "[c_I]/[c_I+c_V]"),
        ("cov_IF / 2", "[cov_IF]/[2]"),  # a variable named as a function is
        ("1e-7 ln 10", "10^−7ln10"),
        ("x >= .75", "x≥0.75"),
    ],
)
def test_what_is_drawn(text: str, meant: str) -> None:
    made = mathml(text)
    assert made is not None
    assert read(ET.fromstring(made)) == meant


@pytest.mark.parametrize(
    "text",
    ["mean of two", "7 x 7 uniform window", "w = .0448 .2856 .3001", "levels 0..255", "a +", "(a", "a)", "|a", "a // b",
     "", "vifp_mscale", "f(a", "sum", "x^", "_x", "<script>alert(1)</script>"],
)  # fmt: skip
def test_what_is_no_formula(text: str) -> None:
    assert mathml(text) is None


def test_prose_keeps_its_words_and_escapes_them() -> None:
    assert clause("as before <b>") == "as before &lt;b&gt;"
    text = drawn("a / b where x > 0, edge repeated; L = 255")
    assert re.sub(r"<math>.*?</math>", "M", text) == "M where M, edge repeated; M"


def test_most_formulas_of_the_metrics_are_drawn() -> None:
    """Prose beside them is not counted: it has no operator in it."""
    texts = []
    for card in cards("metric").values():
        doc = getattr(fusionbench.metrics, card.facts.object).__doc__.partition("Args:")[0]
        texts += [text for text in re.findall(r"``(.+?)``", doc, re.S) if re.search(r"[=/^+]", text)]
    left = [text for text in texts if not mathml(text)]
    assert len(left) <= 0.05 * len(texts), left
