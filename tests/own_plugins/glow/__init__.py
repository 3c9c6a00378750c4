"""A task with a network of its own, as a user would write it in a folder of their own."""

import torch

from fusionbench.tasks.network import Target
from fusionbench.tasks.task import Task

from .network import GlowNet


class Glow(Task):
    name, needs = "glow", "saliency"

    def make(self, network, classes, channels=3, backbone=None, layout="openmmlab", ignore_index=None):
        return GlowNet(channels)

    def target(self, sample):
        return Target(saliency=torch.from_numpy(sample.saliency).float()[None] / 255)

    def scores(self, classes, ignore_index=None):
        return Agreement()


class Agreement:
    def __init__(self):
        self.values = []

    def update(self, prediction, target):
        self.values.append(1 - float((prediction.saliency - target.saliency).abs().mean()))

    def compute(self):
        return {"agreement": sum(self.values) / len(self.values)}

    def per_class(self):
        return {}

    def facts(self):
        return {"images": len(self.values)}
