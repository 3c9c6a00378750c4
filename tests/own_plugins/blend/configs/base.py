batch = 4
lr = 0.1
train = {"epochs": 20}
sizes = {"tiny": {"batch": 2, "train": {"epochs": 2}}}
