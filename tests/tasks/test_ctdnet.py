"""CTDNet-18: shapes, loss, derivatives in the images, weights by torchvision's names."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from fusionbench.errors import WeightsError
from fusionbench.tasks.network import Target
from fusionbench.tasks.saliency import CTDNet18
from fusionbench.tasks.saliency.ctdnet import MEAN, STD, edges
from fusionbench.tasks.scores.saliency import SaliencyScores

TORCHVISION = {  # some tensors of torchvision's resnet18
    "conv1.weight": (64, 3, 7, 7),
    "bn1.running_var": (64,),
    "layer1.0.conv1.weight": (64, 64, 3, 3),
    "layer1.1.bn2.bias": (64,),
    "layer2.0.conv1.weight": (128, 64, 3, 3),
    "layer2.0.downsample.0.weight": (128, 64, 1, 1),
    "layer3.0.downsample.1.running_mean": (256,),
    "layer4.1.conv2.weight": (512, 512, 3, 3),
}


def batch(count, height, width, channels=3, seed=0):
    """Bright discs on a dark ground with noise, and their masks."""
    rng = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    images, targets = [], []
    for i in range(count):
        cy, cx = height * (0.35 + 0.1 * (i % 3)), width * (0.3 + 0.15 * (i % 4))
        mask = (((y - cy) ** 2 + (x - cx) ** 2) < (min(height, width) * 0.22) ** 2).float()[None]
        images.append((0.2 + 0.5 * mask + 0.2 * torch.rand(channels, height, width, generator=rng)).clamp(0, 1))
        targets.append(Target(saliency=mask))
    return torch.stack(images), targets


def settled(channels=3, seed=0, dtype=torch.float32):
    """A random network whose running statistics are those of a batch; without them the products overflow."""
    torch.manual_seed(seed)
    network = CTDNet18(channels).to(dtype).train()
    norms = [part for part in network.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        network(batch(4, 64, 64, channels)[0].to(dtype))
    for norm in norms:
        norm.momentum = 0.1
    return network.eval()


@pytest.fixture(scope="module")
def network():
    return settled()


def test_parameters(network):
    assert sum(p.numel() for p in network.parameters()) == 11_825_368
    assert sum(p.numel() for p in network.backbone.parameters()) == 11_176_512  # torchvision's less its classifier
    assert sum(p.numel() for p in CTDNet18(channels=1).parameters()) == 11_825_368 - 2 * 64 * 49


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(64, 96), (33, 57), (47, 31), (32, 32), (7, 9)])
def test_shapes(channels, height, width, network):
    net = network if channels == 3 else settled(channels=1)
    images, targets = batch(2, height, width, channels)
    for prediction in net.predict(images):
        assert prediction.saliency.shape == (1, height, width)
        assert 0 <= prediction.saliency.min() <= prediction.saliency.max() <= 1
    fine = [(n + 3) // 4 for n in (height, width)]
    assert net.features(images).shape == (2, 64, *fine)
    loss = net.loss(images, targets)
    assert loss.shape == ()
    assert loss.isfinite()
    with pytest.raises(ValueError, match=rf"\[B,{channels},H,W\]"):
        net.predict(images[:, :2] if channels == 3 else images.expand(-1, 3, -1, -1))


def test_predict_leaves_the_mode_alone(network):
    images, _ = batch(1, 40, 40)
    network.train()
    network.spatial.eval()
    before = network.backbone.bn1.running_mean.clone()
    result = network.predict(images)[0].saliency
    assert network.training
    assert not network.spatial.training
    network.eval()
    assert torch.equal(result, network.predict(images)[0].saliency)
    assert torch.equal(before, network.backbone.bn1.running_mean)
    assert not result.requires_grad


def test_features_are_the_last_norm_of_the_boundary_refinement(network):
    images, _ = batch(1, 40, 56)
    held = []
    hook = network.refine.last[1].register_forward_hook(lambda *call: held.append(call[-1]))
    found = network.features(images)
    hook.remove()
    assert len(held) == 1
    assert torch.equal(held[0], found)
    assert found.min() < 0  # before the ReLU
    head = network.heads["final"]
    logits = F.interpolate(head(found.relu()), size=(40, 56), mode="bilinear", align_corners=True)
    assert torch.allclose(network.predict(images)[0].saliency, logits.sigmoid()[0], atol=1e-6)


def test_loss_by_its_formula(network):
    images, targets = batch(2, 40, 56)
    mask = torch.stack([t.saliency for t in targets])
    kept = {}
    hooks = [
        head.register_forward_hook(lambda *call, name=name: kept.update({name: call[-1]}))
        for name, head in network.heads.items()
    ]
    with torch.no_grad():
        loss = network.loss(images, targets)
    for hook in hooks:
        hook.remove()
    p = {
        name: F.interpolate(value.double(), size=(40, 56), mode="bilinear", align_corners=True).sigmoid()
        for name, value in kept.items()
    }
    g = mask.double()

    def bce(p, g):
        return -(g * p.log() + (1 - g) * (1 - p).log()).mean()

    expected = bce(p["edge"], edges(g))
    for weight, name in ((1, "final"), (1 / 2, "spatial"), (1 / 4, "semantic"), (1 / 8, "context"), (1 / 16, "image")):
        q = p[name]
        per_image = [((a * b).sum() + 1) / ((a + b).sum() - (a * b).sum() + 1) for a, b in zip(q, g, strict=True)]
        expected = expected + weight * (1 - sum(per_image) / 2 + 0.6 * bce(q, g))
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_edges():
    mask = torch.zeros(1, 1, 6, 7)
    mask[..., 2:, 3:] = 1
    rows = ["0000000", "0011111", "0011111", "0011000", "0011000", "0011000"]
    assert edges(mask)[0, 0].tolist() == [[float(c) for c in row] for row in rows]
    for flat in (torch.zeros_like(mask), torch.ones_like(mask)):
        assert not edges(flat).any()


def test_normalisation(network):
    image = torch.tensor(MEAN).view(1, 3, 1, 1) / 255
    assert network.normalise(image).abs().max() < 1e-5
    assert torch.allclose(network.normalise(image + 1 / 255).flatten(), 1 / torch.tensor(STD), atol=1e-5)
    grey = CTDNet18(channels=1).normalise
    assert grey(torch.full((1, 1, 1, 1), sum(MEAN) / 3 / 255)).abs().max() < 1e-5


def test_gradients_reach_every_parameter_and_the_images():
    torch.manual_seed(0)
    network = CTDNet18()
    images, targets = batch(2, 64, 64)
    images.requires_grad_()
    network.loss(images, targets).backward()
    assert images.grad.abs().sum() > 0
    assert [n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_training_with_one_image():
    torch.manual_seed(0)
    network = CTDNet18().train()
    images, targets = batch(1, 64, 64)
    network.loss(images, targets).backward()
    assert all(p.grad.isfinite().all() for p in network.parameters())
    assert network.image_reduce[1].running_mean.eq(0).all()  # one value per channel tells no statistics


@pytest.mark.parametrize("channels", [1, 3])
def test_hessian_vector_product(channels):
    """d/de grad loss(x + e v) by automatic differentiation and by central differences, float64, BN as trained."""
    network = settled(channels, dtype=torch.double)
    images, targets = batch(2, 40, 48, channels)
    images = images.double().requires_grad_()
    v = torch.randn(images.shape, generator=torch.Generator().manual_seed(1), dtype=torch.double)

    def gradient(x, graph=False):
        return torch.autograd.grad(network.loss(x, targets), x, create_graph=graph)[0]

    (product,) = torch.autograd.grad((gradient(images, graph=True) * v).sum(), images)
    step = 1e-8
    ends = [gradient((images + sign * step * v).detach().requires_grad_()) for sign in (1, -1)]
    differences = (ends[0] - ends[1]) / (2 * step)
    assert product.norm() > 0
    assert (product - differences).norm() < 1e-5 * product.norm()


def test_overfits_one_batch():
    torch.manual_seed(0)
    network = CTDNet18().train()
    images, targets = batch(4, 64, 64)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.02, momentum=0.9, nesterov=True)
    losses = []
    for _ in range(30):
        loss = network.loss(images, targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.35 * losses[0]
    scores = SaliencyScores()
    with torch.no_grad():
        maps = network(images)  # the statistics of the batch, as in training
        probabilities = F.interpolate(
            network.heads["final"](maps.final.relu()), size=(64, 64), mode="bilinear", align_corners=True
        ).sigmoid()
    for p, target in zip(probabilities, targets, strict=True):
        scores.update(p, target.saliency)
    assert scores.compute()["f@adp"] > 0.9


def test_backbone_has_torchvisions_names(network, tmp_path):
    state = network.backbone.state_dict()
    assert {name: tuple(state[name].shape) for name in TORCHVISION} == TORCHVISION
    assert len(state) == 120  # torchvision's 122 less fc.weight and fc.bias
    filled = {name: torch.rand_like(value.float()).to(value.dtype) for name, value in state.items()}
    network.backbone.load_state_dict(dict(filled), strict=True)
    file = tmp_path / "resnet18.pth"
    torch.save({**filled, "fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}, file)
    loaded = CTDNet18(backbone=file).backbone.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in filled.items() if value.is_floating_point())
    grey = CTDNet18(channels=1, backbone=file).backbone.conv1.weight
    assert torch.allclose(grey, filled["conv1.weight"].sum(1, keepdim=True))
    torch.save({"conv1.weight": filled["conv1.weight"]}, file)
    with pytest.raises(WeightsError, match="missing"):
        CTDNet18(backbone=file)


def test_bad_targets(network):
    images, targets = batch(2, 40, 40)
    for bad, line in (
        (targets[:1], "2 images and 1 targets"),
        ([Target(), Target()], "needs targets with a saliency map"),
        (batch(2, 20, 20)[1], r"\[20, 20\] and image \[40, 40\]"),
    ):
        with pytest.raises(ValueError, match=line):
            network.loss(images, bad)
