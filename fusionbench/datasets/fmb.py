"""FMB: full-time street scenes, 800x600, 14 classes and a background.

Layout: ``{train,test}/{Infrared,Visible,Label,color}``. ``Label`` holds grey ids, ``color`` the same in colours (read
only where ``Label`` is absent). Trap: some papers leave class 0 out of their mean IoU, some do not.
"""

from __future__ import annotations

from fusionbench.data import Dataset


class Fmb(Dataset):
    """The FMB set; all it needs is on its card."""
