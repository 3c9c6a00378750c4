"""VT5000: salient object detection in visible and thermal images, mostly 640x480.

Layout: ``{Train,Test}/{RGB,T,GT}``, jpg images and a png ground truth (salient above 128). Trap: the truth need not
be strictly binary.
"""

from __future__ import annotations

from fusionbench.data import Dataset


class Vt5000(Dataset):
    """The VT5000 set; all it needs is on its card."""
