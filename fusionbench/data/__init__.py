"""Datasets: folders of aligned pairs and their labels, in the layout their authors published.

dataset.py      Dataset: where the files of a split lie, reading and writing them
opening.py      from a name and a folder to a Dataset
pairs.py        the pixels of a pair
sample.py       Sample: one aligned pair with its labels
layout.py       folders and suffixes of each role (ir, vis, mask, boxes, saliency)
pairing.py      which files belong together: by name, pattern or order
pairs.py        reading the two pictures of a pair
looks.py        do pictures look like what they should be?
beforehand.py   what is said before a split is read
video.py        pairs of videos
labels.py       masks, boxes and saliency maps on disk
splits.py       named sets of ids, and list files
origin.py       what a generated tree records of itself
checks.py       is a dataset sound?
acquire.py      getting a dataset: instructions, or its archive fetched and unpacked
download.py     downloading one file
archives.py     unpacking one archive
synth.py        generated scenes in a dataset's layout
"""

from fusionbench.data.dataset import Dataset
from fusionbench.data.labels import Boxes
from fusionbench.data.lists import read_list
from fusionbench.data.opening import find_root, open_dataset, open_spec
from fusionbench.data.origin import ORIGIN
from fusionbench.data.pairing import Pattern, Reading, partners
from fusionbench.data.sample import Files, Sample
from fusionbench.data.splits import Split
from fusionbench.results.records import Origin

__all__ = [
    "ORIGIN",
    "Boxes",
    "Dataset",
    "Files",
    "Origin",
    "Pattern",
    "Reading",
    "Sample",
    "Split",
    "find_root",
    "open_dataset",
    "open_spec",
    "partners",
    "read_list",
]
