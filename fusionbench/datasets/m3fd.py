"""M3FD: detection pairs, mostly 1024x768, six classes.

Layout: flat ``M3FD_Detection/{Ir,Vis,Annotation}``; infrared has three equal channels. Traps: there is **no official
split**, so a split is a list file; the frames of one sequence are spread over train and test in the usual lists, so
neighbours leak; YOLO copies number the classes in several orders, so classes are taken by name from the VOC files.
"""

from __future__ import annotations

from fusionbench.data import Dataset


class M3fd(Dataset):
    """The M3FD set; all it needs is on its card."""
