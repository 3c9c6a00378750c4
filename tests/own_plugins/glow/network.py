"""Its network."""

import torch
from torch import nn

from fusionbench.tasks.network import Prediction, TaskNetwork, evaluating


class GlowNet(TaskNetwork):
    def __init__(self, channels):
        super().__init__()
        self.channels = channels
        self.backbone = nn.Sequential(nn.Conv2d(channels, 4, 3, padding=1), nn.Softplus())
        self.head = nn.Conv2d(4, 1, 1)

    def forward(self, images):
        return self.head(self.features(images))

    def loss(self, images, targets):
        truth = torch.stack([target.saliency for target in targets])
        return nn.functional.binary_cross_entropy_with_logits(self(images), truth)

    def predict(self, images):
        with evaluating(self):
            return [Prediction(saliency=saliency) for saliency in self(images).sigmoid()]

    def features(self, images):
        return self.backbone(images)
