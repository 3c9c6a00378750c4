"""Datasets: folders of aligned pairs and their labels, in the layout their authors published.

dataset.py      Dataset: where the files of a split lie, reading and writing them
opening.py      from a name and a folder to a Dataset
layout.py       folders and suffixes of each role (ir, vis, mask, boxes, saliency)
labels.py       masks, boxes and saliency maps on disk
splits.py       named sets of ids, and list files
checks.py       is a dataset sound?
download.py     fetching and unpacking archives
synth.py        generated scenes in a dataset's layout
"""

from fusionbench.data.dataset import ORIGIN, Dataset, Files, Sample
from fusionbench.data.labels import Boxes
from fusionbench.data.opening import find_root, open_dataset, open_spec
from fusionbench.data.splits import Split, read_list

__all__ = [
    "ORIGIN",
    "Boxes",
    "Dataset",
    "Files",
    "Sample",
    "Split",
    "find_root",
    "open_dataset",
    "open_spec",
    "read_list",
]
