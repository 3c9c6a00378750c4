"""LLVIP: street surveillance in low light, 1280x1024, persons.

Layout: ``infrared/{train,test}``, ``visible/{train,test}`` and one flat ``Annotations`` of VOC files. Infrared is a
three-channel jpg; a box may touch the right edge (xmax = 1280). Consecutive frames differ little, so papers often
score every tenth image: those lists are the splits ``tdfusion-*``.
"""

from __future__ import annotations

from fusionbench.data import Dataset


class Llvip(Dataset):
    """The LLVIP set; all it needs is on its card."""
