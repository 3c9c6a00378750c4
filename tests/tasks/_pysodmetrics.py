"""Scores of PySODMetrics as JSON; run by its own environment's Python, which has none of our packages.

python _pysodmetrics.py FOLDER      # images.npz: "p NAME" and "g NAME"; groups.json: {group: [NAME, ...]}
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import py_sod_metrics as py


def scores(images):
    """The scores of these maps and masks together, by our names."""
    measures = py.Fmeasure(), py.WeightedFmeasure(), py.Smeasure(), py.Emeasure(), py.MAE()
    for pred, target in images:
        for measure in measures:
            measure.step(pred, target)
    f, wf, s, e, mae = (measure.get_results() for measure in measures)
    result = {"wf@all": wf["wfm"], "s@all": s["sm"], "mae@all": mae["mae"]}
    for name, value in {"f": f["fm"], "e": e["em"]}.items():
        curve = value["curve"]
        result |= {f"{name}@adp": value["adp"], f"{name}@mean": curve.mean(), f"{name}@max": curve.max()}
    return {name: float(value) for name, value in result.items()}


warnings.simplefilter("ignore")
folder = Path(sys.argv[1])
arrays = np.load(folder / "images.npz")
groups = json.loads((folder / "groups.json").read_text())
pairs = {group: [(arrays[f"p {name}"], arrays[f"g {name}"]) for name in names] for group, names in groups.items()}
print(json.dumps({group: scores(images) for group, images in pairs.items()}))
