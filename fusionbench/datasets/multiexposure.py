"""Multi-exposure pairs: one scene exposed for too short and for too long.

Layout: a folder per set, under and over below it. Trap: both are in colours, and a fused picture has those of the
longer exposure, which lacks them where it is white; scores are of luma.
"""

from __future__ import annotations

from fusionbench.data import Dataset


class MultiExposure(Dataset):
    """Multi-exposure sets; all they need is on the card."""
