"""CLDyN's compensation for three tasks. Adam, batch, epochs, clip and penalty are the paper's and the released ones.

A task is trained when its dataset is among those of the run, so `--dataset m3fd,fmb` leaves saliency out altogether;
`leave_out` leaves it out of training but measures it.
"""

vfn = None  # a checkpoint or run of stage vfn, or the name of installed weights
networks = {
    "detection": {"network": "yolov5-s", "weights": None, "dataset": "m3fd", "split": None, "test": None},
    "segmentation": {"network": "segformer-b2", "weights": None, "dataset": "fmb", "split": None, "test": None},
    "saliency": {"network": "ctdnet-18", "weights": None, "dataset": "vt5000", "split": None, "test": None},
}
leave_out = ""
keep = None  # tasks whose networks, and so loops, go into the saved weights; None: all
penalty = 5.0  # alpha; 0: the ablation without punishment
closed_loop = True  # False: the ablation without feedback
solver = "cagrad"  # released: the solver of the released code; mean: plain mean
c = 0.5
learn_query = True  # False: no gradient reaches the query's layers, as in the released code
resize = (480, 640)
flip = 0.5
batch = 4  # of each task
lr = 1e-2
weight_decay = 1e-4
clip = 1.0
limit = None
validate = 50

train = {"epochs": 50, "seed": 0, "workers": 4, "save_every": 100, "log_every": 10, "picture_every": 5}

# For two processor cores, images of 128x160 and the small task networks.
sizes = {
    "tiny": {
        "networks": {
            "detection": {"network": "yolov5-tiny"},
            "segmentation": {"network": "segformer-tiny"},
            "saliency": {"network": "ctdnet-tiny"},
        },
        "resize": None,
        "batch": 2,
        "validate": 8,
        "train": {"epochs": 10, "workers": 0, "save_every": 50, "log_every": 1},
    }
}
