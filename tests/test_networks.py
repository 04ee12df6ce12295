"""Equal to torchvision's network on copied weights, and no longer so when any one part of it is altered."""

import copy

import pytest
import torch
from torch import nn
from torchvision.models import video as reference

from helpers import blocks, networks


def randomise(network, seed):
    """Random weights and random batch-norm statistics, of a size that keeps signals alive through 18 layers."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.bias.data.uniform_(-0.5, 0.5, generator=generator)
            module.running_mean.uniform_(-0.5, 0.5, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    return network


@pytest.fixture(scope="module")
def twins():
    """torchvision's network with random weights and statistics, and ours with a copy of them."""
    torch.manual_seed(1)
    theirs = randomise(reference.r2plus1d_18(num_classes=7), seed=2)
    ours = networks.r2plus1d_18(num_classes=7)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return ours, theirs


def clips(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


def test_same_logits_in_eval_mode(twins):
    ours, theirs = (network.eval() for network in twins)
    x = clips(2, 3, 16, 112, 112)
    with torch.inference_mode():
        expected = theirs(x)
        assert expected.std() > 0.1  # random, not dead
        assert torch.allclose(ours(x), expected, atol=1e-5, rtol=0)


def test_same_gradients_and_statistics_in_train_mode(twins):
    ours, theirs = (copy.deepcopy(network).train() for network in twins)
    x = clips(3, 3, 8, 40, 40)
    for network in (ours, theirs):
        nn.functional.cross_entropy(network(x), torch.tensor([0, 3, 6])).backward()
    for (name, mine), other in zip(ours.named_parameters(), theirs.parameters()):
        scale = other.grad.abs().max()
        assert scale > 0 and torch.allclose(mine.grad, other.grad, atol=1e-4 * scale.item(), rtol=0), name
    for (name, mine), other in zip(ours.named_buffers(), theirs.buffers()):
        assert torch.allclose(mine, other, atol=1e-5), name


def alterations(network):
    """Each way to alter one stride, padding, normalisation or ReLU: a name, a function that does it, one that undoes it."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv3d):
            for axis, letter in enumerate("THW"):
                stride, padding = list(module.stride), list(module.padding)
                stride[axis] = 3 - stride[axis]
                padding[axis] = 1 if padding[axis] == 0 else padding[axis] - 1
                yield f"{name}.stride {letter}", module, "stride", tuple(stride)
                yield f"{name}.padding {letter}", module, "padding", tuple(padding)
        elif isinstance(module, nn.BatchNorm3d):
            yield f"{name}.eps", module, "eps", 1e-3
            yield f"{name} left out", module, "forward", lambda x: x
        elif isinstance(module, nn.ReLU):
            yield f"{name} left out", module, "forward", lambda x: x


def test_every_stride_padding_normalisation_and_relu_matters(twins):
    ours, theirs = (network.eval() for network in twins)
    x = clips(1, 3, 9, 32, 32)  # two frames of 2 x 2 are left at the end, so that every stride shows
    unnoticed, tried = [], 0
    with torch.inference_mode():
        expected = theirs(x)
        for name, module, attribute, value in alterations(ours):
            tried += 1
            before = module.__dict__.get(attribute)
            setattr(module, attribute, value)
            try:
                same = torch.allclose(ours(x), expected, atol=1e-5, rtol=0)
            except RuntimeError:  # the shapes no longer fit
                same = False
            finally:
                delattr(module, attribute)
                if before is not None:
                    setattr(module, attribute, before)
            if same:
                unnoticed.append(name)
        assert torch.allclose(ours(x), expected, atol=1e-5, rtol=0)  # all is as it was
    assert unnoticed == []
    assert tried == 37 * 6 + 37 * 2 + 34  # convolutions, batch norms, ReLUs


def test_same_seed_gives_torchvisions_weights():
    torch.manual_seed(5)
    theirs = reference.r2plus1d_18(num_classes=11).state_dict()
    torch.manual_seed(5)
    ours = networks.r2plus1d_18(num_classes=11).state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_parameter_counts():
    published = reference.R2Plus1D_18_Weights.KINETICS400_V1.meta["num_params"]
    assert networks.parameters(networks.r2plus1d_18()) == published == 31_505_325
    assert networks.parameters(networks.r2plus1d_18(paper_widths=True)) == 33_370_839  # the paper's Table 2: 33.3M


@pytest.mark.parametrize(
    "inplanes, planes, expected",
    [(64, 64, 144), (64, 128, 230), (128, 128, 288), (128, 256, 460), (256, 256, 576), (256, 512, 921), (512, 512, 1152)],
)
def test_midplanes(inplanes, planes, expected):
    assert blocks.midplanes(inplanes, planes) == expected
    whole = 27 * inplanes * planes
    factorised = expected * (9 * inplanes + 3 * planes)
    assert whole - (9 * inplanes + 3 * planes) < factorised <= whole  # as many weights as fit, never more


def test_middle_widths_by_torchvision_and_by_the_paper():
    def middles(network):
        return [block.conv2[0][0].out_channels for group in (network.layer2, network.layer3, network.layer4) for block in group]

    assert middles(networks.r2plus1d_18()) == [230, 288, 460, 576, 921, 1152]
    assert middles(networks.r2plus1d_18(paper_widths=True)) == [288, 288, 576, 576, 1152, 1152]


def test_stem_has_45_filters_in_the_middle():
    assert networks.r2plus1d_18().stem[0].out_channels == 45
    assert blocks.midplanes(3, 64, t=3, d=7) == 83


@pytest.mark.parametrize("width, classes, frames, height, paper", [(8, 2, 16, 112, False), (16, 10, 8, 64, True), (24, 1, 5, 33, False)])
def test_any_width_number_of_classes_and_size(width, classes, frames, height, paper):
    network = networks.r2plus1d_18(classes, width, paper).eval()
    with torch.inference_mode():
        assert network(clips(2, 3, frames, height, height + 8)).shape == (2, classes)
        features = network.layer4(network.layer3(network.layer2(network.layer1(network.stem(clips(1, 3, frames, height, height))))))
    halved = lambda n, times: n if times == 0 else halved((n + 1) // 2, times - 1)  # noqa: E731
    assert features.shape == (1, 8 * width, halved(frames, 3), halved(height, 4), halved(height, 4))


def test_impossible_networks_are_refused():
    with pytest.raises(ValueError, match="at least one class"):
        networks.r2plus1d_18(num_classes=0)
    with pytest.raises(ValueError, match="at least 8 channels"):
        networks.r2plus1d_18(width=4)


def test_summary_counts_what_torchvision_publishes():
    for name in ("r3d_18", "mc3_18", "r2plus1d_18"):
        with torch.device("meta"):
            network = getattr(reference, name)()
        layers = blocks.summary(network, (3, 16, 112, 112))
        meta = reference.__dict__[{"r3d_18": "R3D_18_Weights", "mc3_18": "MC3_18_Weights"}.get(name, "R2Plus1D_18_Weights")].DEFAULT.meta
        assert sum(layer.parameters for layer in layers) == meta["num_params"]
        assert round(sum(layer.multiply_adds for layer in layers) / 1e9, 3) == meta["_ops"]


def test_summary_names_shapes_and_leaves_no_hooks():
    with torch.device("meta"):
        network = networks.r2plus1d_18(num_classes=5, width=16)
    layers = blocks.summary(network, (3, 9, 40, 48))
    assert blocks.summary(network, (3, 9, 40, 48)) == layers  # hooks of the first call are gone
    assert not any(module._forward_hooks for module in network.modules())
    by_name = {layer.name: layer for layer in layers}
    assert by_name["stem.0"] == ("stem.0", "Conv3d", (1, 7, 7), (11, 9, 20, 24), 11 * 3 * 49, 11 * 3 * 49 * 9 * 20 * 24)
    assert by_name["fc"] == ("fc", "Linear", None, (5,), 128 * 5 + 5, 128 * 5)
    assert [layer.name for layer in layers if layer.kind == "Linear"] == ["fc"] == [layers[-1].name]
