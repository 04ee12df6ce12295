"""3D convolutions computed as 2D ones: the same numbers and the same gradients, in float32 and in bfloat16."""

import copy

import pytest
import torch
from torch import nn

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


def gradients(layer, x, upstream):
    x = x.clone().requires_grad_()
    y = layer(x)
    return y, torch.autograd.grad(y, (x, *layer.parameters()), upstream.to(y.dtype))


def close(result, expected, allowed):
    return (result.double() - expected.double()).norm() <= allowed * expected.double().norm()


@pytest.mark.parametrize("frames", [1, 2, 3, 8])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, kind.values())))
def test_numbers_and_gradients_are_those_of_conv3d(kind, bias, frames):
    torch.manual_seed(0)
    conv = nn.Conv3d(8, 16, bias=bias, **kind)
    network = inference.conv3d_as_conv2d(nn.Sequential(copy.deepcopy(conv)))
    assert isinstance(network[0], inference.Conv3dAsConv2d)
    x = torch.randn(3, 8, frames, 10, 9)
    upstream = torch.randn_like(conv.double()(x.double()))
    expected, expected_gradients = gradients(conv, x.double(), upstream)
    y, results = gradients(network, x, upstream)
    assert y.shape == expected.shape and close(y, expected, 1e-6)
    assert all(close(a, b, 1e-5) for a, b in zip(results, expected_gradients, strict=True))


@pytest.mark.parametrize("frames", [2, 3, 4, 8])
def test_gradients_in_bfloat16_are_right_even_over_two_frames(frames):
    if not inference.cpu_has_bfloat16():
        pytest.skip("no bfloat16 here")
    torch.manual_seed(0)
    conv = nn.Conv3d(32, 48, (3, 1, 1), padding=(1, 0, 0), bias=False)
    network = inference.conv3d_as_conv2d(nn.Sequential(copy.deepcopy(conv)))
    x = torch.randn(4, 32, frames, 7, 7)
    upstream = torch.randn_like(conv(x))
    _, expected = gradients(conv.double(), x.double(), upstream.double())
    with torch.autocast("cpu", torch.bfloat16):
        y, results = gradients(network, x, upstream)
    assert y.dtype == torch.bfloat16
    assert all(close(a, b, 1e-2) for a, b in zip(results, expected, strict=True))


@pytest.mark.parametrize("name, swapped, left", [("r2plus1d_18", 37, 0), ("r3d_18", 3, 17), ("mc3_18", 15, 5)])
def test_a_network_keeps_its_parameters_and_computes_the_same(name, swapped, left):
    torch.manual_seed(0)
    network = NETWORKS[name](7, 8).double()  # in float32 a ReLU near 0 may be open on one side only, on some processors
    plain = copy.deepcopy(network).eval()
    before = dict(network.named_parameters())
    assert inference.conv3d_as_conv2d(network) is network
    counts = [
        sum(isinstance(module, kind) for module in network.modules()) for kind in (inference.Conv3dAsConv2d, nn.Conv3d)
    ]
    assert counts == [swapped, left]
    assert list(network.state_dict()) == list(plain.state_dict())
    assert all(parameter is before[key] for key, parameter in network.named_parameters())
    # In eval mode: the statistics of so small a batch would enlarge rounding errors.
    x = torch.randn(2, 3, 8, 32, 32, dtype=torch.float64)
    network.eval()(x).square().mean().backward()
    expected = plain(x)
    expected.square().mean().backward()
    assert close(network(x), expected, 1e-12)
    for key, parameter in plain.named_parameters():
        assert close(before[key].grad, parameter.grad, 1e-9), key


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
