"""Any folder of aligned pairs: ``ir`` and ``vis`` sub-folders in any of the usual spellings.

Files are paired by name without suffix, so ``ir/1.png`` belongs to ``vis/1.jpg``.
"""

from __future__ import annotations

from fusionbench.data import Dataset


class Folder(Dataset):
    """Pairs from two folders; all it needs is on its card."""
