"""A method with a recipe, as a user would write it in a folder of their own."""

from pathlib import Path

from safetensors.torch import load_file

from fusionbench.colour import luma
from fusionbench.method import Method

from .network import Mix


class Blend(Method):
    def load(self, weights: Path | None) -> None:
        self.network = Mix()
        self.network.load_state_dict(load_file(weights))

    def fuse(self, ir, vis, context=None):
        return self.network(ir, luma(vis))
