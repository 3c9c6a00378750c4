"""Multi-focus pairs: one scene twice, near things sharp in one picture and far ones in the other.

Layout: a folder per set, A and B below it. Trap: both are in colours, and a fused picture has those of B, in which the
near things are blurred; scores are of luma.
"""

from __future__ import annotations

from fusionbench.data import Dataset


class MultiFocus(Dataset):
    """Multi-focus sets; all they need is on the card."""
