"""RoadScene: street scenes from FLIR video, colour visible; sizes differ from pair to pair.

Layout: flat ``ir`` and ``vi``; its authors' own folder names ``cropinfrared`` and ``crop_LR_visible`` are read as well.
Trap: papers use 50 of the pairs or all 221; name the list you used.
"""

from __future__ import annotations

from fusionbench.data import Dataset


class Roadscene(Dataset):
    """The RoadScene set; all it needs is on its card."""
