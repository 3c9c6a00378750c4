"""TNO: military-relevant scenes, grey visible, sizes differ from pair to pair.

Layout: flat ``ir`` and ``vi``. Trap: papers use 20, 21, 25 or 42 pairs under the one name; name the list you used.
"""

from __future__ import annotations

from fusionbench.data import Dataset


class Tno(Dataset):
    """The TNO set; all it needs is on its card."""
