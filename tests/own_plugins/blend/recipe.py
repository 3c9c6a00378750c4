"""Its recipe: towards the brighter of both sources."""

from dataclasses import dataclass

import torch

from fusionbench.colour import luma
from fusionbench.training.data import TrainingSplit
from fusionbench.training.order import shuffled
from fusionbench.training.recipe import Recipe
from fusionbench.training.settings import Count, Positive, Presets, Settings

from .network import Mix


@dataclass(frozen=True, kw_only=True)
class BlendSettings(Settings):
    batch: Count = 4  # pairs in a step
    lr: Positive = 0.1  # of Adam
    epochs: Count = 20


class BlendRecipe(Recipe):
    presets = Presets(record=BlendSettings, sizes={"tiny": {"batch": 2, "epochs": 2}})

    def build(self, config, device):
        (dataset,) = self.datasets.values()
        self.split, self.size, self.device = TrainingSplit(dataset, "train"), config.batch, device
        self.network = Mix().to(device)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=config.lr)

    def state(self):
        return {"network": self.network, "optimiser": self.optimiser}

    def batches(self, epoch, seed):
        return shuffled(len(self.split), self.size, seed, epoch)

    def load(self, step, epoch, seed):
        return self.split.batch(step.groups[0], seed, epoch)

    def step(self, batch):
        ir, vis = batch.ir.to(self.device), luma(batch.vis.to(self.device))
        loss = (self.network(ir, vis) - torch.maximum(ir, vis)).square().mean()
        self.precision.update(loss, self.optimiser)
        return {"loss": loss.detach()}

    def export(self):
        return {"share": self.network.share.detach().cpu()}
