"""CLDyN's fusion network. Adam, learning rate, batch, crop and loss weights are the released ones."""

blocks = 2  # L; the released training script says 4 and its tests 2
variant = "released"  # paper: the weight is lambda, of the gradient term
weight = 0.2
lr = 1e-3
batch = 16
crop = 256
splits = {"roadscene": "test"}  # the only one it has
limit = None
validate = 20

train = {"epochs": 100, "seed": 0, "workers": 4, "save_every": 200, "log_every": 10, "picture_every": 10}

# For two processor cores and images of 128x160.
sizes = {
    "tiny": {
        "batch": 4,
        "crop": 64,
        "validate": 4,
        "train": {"epochs": 20, "workers": 0, "save_every": 50, "log_every": 1},
    }
}
