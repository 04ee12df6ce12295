"""Convolutions over views: the same numbers and the same gradients, in float32 and in bfloat16."""

import copy

import pytest
import torch
from torch import nn

from helpers import views
from helpers.networks import NETWORKS
from helpers.scale import inference

KINDS = [
    dict(kernel_size=(1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
    dict(kernel_size=(1, 7, 5), stride=(1, 2, 1), padding=(0, 3, 2)),
    dict(kernel_size=(3, 1, 1), stride=(2, 1, 1), padding=(1, 0, 0)),
    dict(kernel_size=(3, 1, 1), stride=(1, 2, 3), padding=(1, 0, 0)),
    dict(kernel_size=(5, 1, 1), padding=(2, 0, 0)),
    dict(kernel_size=1, stride=2),
    dict(kernel_size=1),
]


def gradients(layer, x, given):
    x = x.clone().requires_grad_()
    y = layer(x)
    return y, torch.autograd.grad(y, (x, *layer.parameters()), given.to(y.dtype))


def close(found, wanted, allowed):
    return (found.double() - wanted.double()).norm() <= allowed * wanted.double().norm()


@pytest.mark.parametrize("frames", [1, 2, 3, 8])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, kind.values())))
def test_numbers_and_gradients_are_those_of_conv3d(kind, bias, frames):
    torch.manual_seed(0)
    conv = nn.Conv3d(8, 16, bias=bias, **kind)
    network = inference.conv3d_as_conv2d(nn.Sequential(copy.deepcopy(conv)))
    assert isinstance(network[0], views.Conv3dAsConv2d)
    x = torch.randn(3, 8, frames, 10, 9)
    wanted = conv.double()(x.double())
    given = torch.randn_like(wanted)
    wanted, wanted_gradients = gradients(conv, x.double(), given)
    y, found = gradients(network, x, given)
    assert y.shape == wanted.shape and close(y, wanted, 1e-6)
    assert all(close(a, b, 1e-5) for a, b in zip(found, wanted_gradients, strict=True))


@pytest.mark.parametrize("frames", [2, 3, 4, 8])
def test_gradients_in_bfloat16_are_right_even_over_two_frames(frames):
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("no bfloat16 here")
    torch.manual_seed(0)
    conv = nn.Conv3d(32, 48, (3, 1, 1), padding=(1, 0, 0), bias=False)
    network = inference.conv3d_as_conv2d(nn.Sequential(copy.deepcopy(conv)))
    x = torch.randn(4, 32, frames, 7, 7)
    given = torch.randn_like(conv(x))
    _, wanted = gradients(conv.double(), x.double(), given.double())
    with torch.autocast("cpu", torch.bfloat16):
        y, found = gradients(network, x, given)
    assert y.dtype == torch.bfloat16
    assert all(close(a, b, 1e-2) for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("name, swapped, left", [("r2plus1d_18", 37, 0), ("r3d_18", 3, 17), ("mc3_18", 15, 5)])
def test_a_network_keeps_its_parameters_and_says_the_same(name, swapped, left):
    torch.manual_seed(0)
    network = NETWORKS[name](7, 8)
    plain = copy.deepcopy(network).double().eval()
    before = dict(network.named_parameters())
    assert inference.conv3d_as_conv2d(network) is network
    counts = [
        sum(isinstance(module, kind) for module in network.modules()) for kind in (views.Conv3dAsConv2d, nn.Conv3d)
    ]
    assert counts == [swapped, left]
    assert list(network.state_dict()) == list(plain.state_dict())
    assert all(parameter is before[key] for key, parameter in network.named_parameters())
    # In eval mode: over so small a batch, norms make any two ways of computing part.
    x = torch.randn(2, 3, 8, 32, 32)
    network.eval()(x).square().mean().backward()
    wanted = plain(x.double())
    wanted.square().mean().backward()
    assert close(network(x), wanted, 1e-5)
    for key, parameter in plain.named_parameters():
        assert close(before[key].grad, parameter.grad, 1e-4), key


@pytest.mark.parametrize(
    "kind",
    [
        dict(kernel_size=3, padding=1),
        dict(kernel_size=(3, 1, 1), padding=1),
        dict(kernel_size=(1, 3, 3), padding=1),
        dict(kernel_size=(1, 3, 3), dilation=2),
        dict(kernel_size=(1, 3, 3), groups=2),
        dict(kernel_size=(1, 3, 3), stride=2),
        dict(kernel_size=(1, 3, 3), padding="same"),
        dict(kernel_size=(3, 1, 1), padding=(1, 0, 0), padding_mode="replicate"),
    ],
)
def test_other_convolutions_are_left_alone(kind):
    network = nn.Sequential(nn.Conv3d(4, 4, **kind))
    assert type(inference.conv3d_as_conv2d(network)[0]) is nn.Conv3d
