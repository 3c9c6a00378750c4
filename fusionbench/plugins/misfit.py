"""Tensors that are none of a network's, in one line."""

from __future__ import annotations

import re

MISFITS = {
    "of another shape": r"size mismatch for (\S+): .*?torch\.Size\((\[.*?\])\).*?torch\.Size\((\[.*?\])\)",
    "missing": r"Missing key\(s\) in state_dict: (.*?)\. ?$",
    "unknown to the network": r"Unexpected key\(s\) in state_dict: (.*?)\. ?$",
}


def misfit(text: str) -> str:
    """Torch's complaint about tensors that are none of a network's, a line for each of them, in a few words.

    Any other text gives "".

    Args:
        text: of the error that ``load_state_dict`` raised.
    """
    parts = []
    for what, pattern in MISFITS.items():
        found = re.findall(pattern, text, re.MULTILINE)
        if what == "of another shape":
            names = [f"{name} {there} for {wanted}" for name, there, wanted in found]
        else:
            names = [name for listed in found for name in re.findall(r'"(.*?)"', listed)]
        if names:
            more = ", ..." if len(names) > 3 else ""
            parts.append(f"{len(names)} tensors are {what} ({', '.join(names[:3])}{more})")
    return "; ".join(parts).replace("; ", ", ")
