"""The recipe of all task networks, with settings of its own."""

from dataclasses import dataclass

from fusionbench.tasks.recipe import Schedule, TaskRecipe, TaskSettings
from fusionbench.training.settings import Count, Interval, NotNegative, Positive, Presets, Size


@dataclass(frozen=True, kw_only=True)
class GlowSettings(TaskSettings):
    network: str = "glow-net"
    batch: Count = 4
    scale: Interval | None = None
    crop: Size | None = None
    optimiser_type: str = "SGD"
    optimiser_lr: Positive = 0.1
    optimiser_momentum: NotNegative | None = 0.9
    optimiser_weight_decay: NotNegative = 0.0
    schedule_type: Schedule = "poly"
    epochs: Count = 20


class GlowRecipe(TaskRecipe):
    presets = Presets(record=GlowSettings, sizes={"tiny": {"batch": 2, "epochs": 2}})
