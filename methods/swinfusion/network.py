"""SwinFusion's network under the names of the release; 973,681 parameters.

Ma et al., "SwinFusion: Cross-domain Long-range Learning for General Image Fusion via Swin Transformer", IEEE/CAA
Journal of Automatica Sinica 9(7), 2022, section III: Swin blocks within each image and across
both, reconstruction.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionbench.methods._swin import MLP, Block, WindowAttention, Windowed

DIM, HEADS, WINDOW = 60, 6, 8


def lrelu(x: Tensor) -> Tensor:
    """The activation everywhere."""
    return F.leaky_relu(x, 0.2)


def conv(inputs: int, outputs: int) -> nn.Conv2d:
    """3x3 convolution that keeps the size."""
    return nn.Conv2d(inputs, outputs, 3, padding=1)


class CrossBlock(Windowed):
    """Each image's tokens ask, the other's answer; feed-forward of their own."""

    def __init__(self, shift: int) -> None:
        super().__init__(WINDOW, shift)
        self.norm1_A, self.norm1_B = nn.LayerNorm(DIM), nn.LayerNorm(DIM)
        self.attn_A, self.attn_B = (WindowAttention(DIM, HEADS, WINDOW, cross=True) for _ in range(2))
        self.norm2_A, self.norm2_B = nn.LayerNorm(DIM), nn.LayerNorm(DIM)
        self.mlp_A, self.mlp_B = MLP(DIM, 2 * DIM), MLP(DIM, 2 * DIM)

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        seen_a, seen_b = self.norm1_A(a), self.norm1_B(b)
        a = a + self.at_times(self.attend(self.attn_A, seen_a, seen_b))
        b = b + self.at_times(self.attend(self.attn_B, seen_b, seen_a))
        return a + self.at_times(self.mlp_A(self.norm2_A(a))), b + self.at_times(self.mlp_B(self.norm2_B(b)))


class Blocks(nn.Module):
    """Swin blocks of one image, every other one shifted by half a window."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(Block(DIM, HEADS, WINDOW, WINDOW // 2 * (i % 2)) for i in range(count)))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.blocks(x)
        return out


class CrossBlocks(nn.Module):
    """Two cross blocks, the second one shifted."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([CrossBlock(0), CrossBlock(WINDOW // 2)])

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        for block in self.blocks:
            a, b = block(a, b)
        return a, b


class Group(nn.Module):
    """Four Swin blocks of one image."""

    def __init__(self) -> None:
        super().__init__()
        self.residual_group = Blocks(4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.residual_group(x)
        return out


class FusionGroup(nn.Module):
    """Two blocks of each image, then two across them."""

    def __init__(self) -> None:
        super().__init__()
        self.residual_group = CrossBlocks()
        self.residual_group_A, self.residual_group_B = Blocks(2), Blocks(2)

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        both: tuple[Tensor, Tensor] = self.residual_group(self.residual_group_A(a), self.residual_group_B(b))
        return both


class SwinFusionNet(nn.Module):
    """Two images in, one out; sides are padded to the next multiple of 8 beyond them, mirrored."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_first1_A, self.conv_first2_A = conv(1, DIM // 2), conv(DIM // 2, DIM)
        self.conv_first1_B, self.conv_first2_B = conv(1, DIM // 2), conv(DIM // 2, DIM // 2)  # in the file, not used
        self.patch_embed = nn.ModuleDict({"norm": nn.LayerNorm(DIM)})
        self.layers_Ex_A, self.layers_Ex_B, self.layers_Re = (nn.Sequential(Group()) for _ in range(3))
        self.norm_Ex_A, self.norm_Ex_B, self.norm_Re = (nn.LayerNorm(DIM) for _ in range(3))
        self.layers_Fusion = nn.ModuleList([FusionGroup(), FusionGroup()])
        self.norm_Fusion_A, self.norm_Fusion_B = nn.LayerNorm(DIM), nn.LayerNorm(DIM)
        self.conv_after_body_Fusion = conv(2 * DIM, DIM)
        self.conv_last1, self.conv_last2, self.conv_last3 = conv(DIM, DIM // 2), conv(DIM // 2, DIM // 4), conv(15, 1)

    def tokens(self, x: Tensor) -> Tensor:
        """Maps ``[B,C,H,W]`` as normed tokens ``[B,H,W,C]``; one normalisation serves every stage."""
        out: Tensor = self.patch_embed["norm"](x.permute(0, 2, 3, 1))
        return out

    def shallow(self, x: Tensor) -> Tensor:
        """First features of either image."""
        return lrelu(self.conv_first2_A(lrelu(self.conv_first1_A(x))))

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        """Fused luma of two images, each ``[B,1,H,W]`` in [0,1]; not bounded."""
        height, width = ir.shape[-2:]
        a, b = (self.tokens(self.shallow(padded(x))) for x in (ir, vis))
        a, b = self.norm_Ex_A(self.layers_Ex_A(a)), self.norm_Ex_B(self.layers_Ex_B(b))
        a, b = self.patch_embed["norm"](a), self.patch_embed["norm"](b)
        for group in self.layers_Fusion:
            a, b = group(a, b)
        both = torch.cat((self.norm_Fusion_A(a), self.norm_Fusion_B(b)), dim=-1).permute(0, 3, 1, 2)
        x = self.tokens(lrelu(self.conv_after_body_Fusion(both)))
        x = self.norm_Re(self.layers_Re(x)).permute(0, 3, 1, 2)
        x = lrelu(self.conv_last2(lrelu(self.conv_last1(x))))
        out: Tensor = self.conv_last3(x)[..., :height, :width]
        return out


def padded(x: Tensor) -> Tensor:
    """Mirrored at the lower and right border, edge pixels included; always by at least a pixel, as released."""
    for axis in (-2, -1):
        more = (x.shape[axis] // WINDOW + 1) * WINDOW - x.shape[axis]
        while more > 0:  # a side below 8 is mirrored more than once
            added = x.flip(axis).narrow(axis, 0, min(more, x.shape[axis]))
            x, more = torch.cat((x, added), dim=axis), more - added.shape[axis]
    return x
