"""ReFusion on the train split of MSRS. Every value is ours; learning rates and epochs are TDFusion's (same authors)."""

split = "train"
patch = 128
batch = 8
passes = 4  # patches cut from each image per epoch
meta_steps = 200
alpha = 1.0
lr = 1e-4
proposal_lr = 1e-4
inner_lr = 1e-2
decay_every = 10
decay = 0.1

train = {"epochs": 40, "seed": 0, "workers": 4, "save_every": 100}

# For two processor cores and images of 128x160.
sizes = {
    "tiny": {
        "patch": 64,
        "batch": 2,
        "passes": 1,
        "meta_steps": 6,
        "lr": 1e-3,
        "decay_every": 8,
        "train": {"epochs": 10, "workers": 0, "save_every": 20},
    }
}
