"""MSRS: road scenes by day and night, 640x480, with nine-class masks and boxes.

Layout: ``{train,test}/{ir,vi,Segmentation_labels}``; the boxes are a separate release, put beside them as
``detection_labels``. Traps: box files may lack their final newline, and an empty one means no objects; names end in
``D`` (day) or ``N`` (night); infrared is single-channel.
"""

from __future__ import annotations

from fusionbench.data import Dataset


class Msrs(Dataset):
    """The MSRS set; all it needs is on its card."""
