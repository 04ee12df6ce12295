"""Equal to torchvision's networks on copied weights; and a network gives other logits when any one part of it is altered."""

import copy
import json
import math
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import video as reference

from helpers import blocks, networks
from helpers.scale import inference

# How many parameters each network has with 400 classes and the paper's intermediate channels, R2D with clips of 16 frames.
COUNTS = {
    "r2d": 11_522_832, "fr2d": 11_381_712, "r3d": 33_371_472, "mc2": 11_400_528, "mc3": 11_695_440, "mc4": 12_727_632,
    "mc5": 16_856_400, "rmc2": 33_352_656, "rmc3": 33_057_744, "rmc4": 32_025_552, "rmc5": 27_896_784,
    "r2plus1d": 33_370_839,
}  # fmt: skip
FRAMES_LEFT = {  # of 16, in the last feature maps
    "r2d": 1, "fr2d": 16, "r3d": 2, "mc2": 16, "mc3": 16, "mc4": 8, "mc5": 4, "rmc2": 2, "rmc3": 2, "rmc4": 4,
    "rmc5": 8, "r2plus1d": 2,
}  # fmt: skip


def randomize_batchnorm_(network, seed):
    """Random weights and random batch-norm statistics, of a size that keeps signals alive through 18 layers."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.bias.data.uniform_(-0.5, 0.5, generator=generator)
            module.running_mean.uniform_(-0.5, 0.5, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    return network


@pytest.fixture(scope="module", params=["r2plus1d_18", "r3d_18", "mc3_18"])
def twins(request):
    """torchvision's network, always of full width, with random weights and statistics, and ours with a copy of them."""
    torch.manual_seed(1)
    theirs = randomize_batchnorm_(getattr(reference, request.param)(num_classes=7), seed=2)
    ours = networks.NETWORKS[request.param](num_classes=7)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return ours, theirs


def clips(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


def test_same_logits_in_eval_mode(twins):
    ours, theirs = (network.eval() for network in twins)
    x = clips(2, 3, 9, 48, 56)  # odd in time, higher than wide
    with torch.inference_mode():
        expected = theirs(x)
        assert expected.std() > 0.1  # random, not dead
        assert torch.allclose(ours(x), expected, atol=1e-5 * expected.abs().max().item(), rtol=0)


def test_same_gradients_and_statistics_in_train_mode(twins):
    ours, theirs = (copy.deepcopy(network).train() for network in twins)
    x = clips(3, 3, 9, 24, 32)
    for network in (ours, theirs):
        nn.functional.cross_entropy(network(x), torch.tensor([0, 3, 6])).backward()
    for (name, mine), other in zip(ours.named_parameters(), theirs.parameters()):
        scale = other.grad.abs().max()
        assert scale > 0 and torch.allclose(mine.grad, other.grad, atol=1e-4 * scale.item(), rtol=0), name
    for (name, mine), other in zip(ours.named_buffers(), theirs.buffers()):
        assert torch.allclose(mine, other, atol=1e-5), name


def alterations(network):
    """Each way to alter one stride, padding, batch norm or ReLU: a name, the module, its attribute, another value of it."""
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


@pytest.mark.parametrize("name", ["r2plus1d_18", "r3d_18", "mc3_18"])
def test_every_stride_padding_normalization_and_relu_matters(name):
    """In a narrow network; that the unaltered one of full width is torchvision's, the tests above tell.

    Each altered network must miss the logits by more than parity allows, relative to the largest of them.
    """
    torch.manual_seed(1)
    network = randomize_batchnorm_(networks.NETWORKS[name](7, width=8), seed=2).eval()
    x = clips(1, 3, 9, 32, 32)  # two frames of 2 x 2 are left at the end, so that every stride shows
    unnoticed, tried = [], 0
    with torch.inference_mode():
        expected = network(x)
        tolerance = 1e-5 * expected.abs().max().item()
        for alteration, module, attribute, value in alterations(network):
            tried += 1
            before = module.__dict__.get(attribute)
            setattr(module, attribute, value)
            try:
                same = torch.allclose(network(x), expected, atol=tolerance, rtol=0)
            except RuntimeError:  # the shapes no longer fit
                same = False
            finally:
                delattr(module, attribute)
                if before is not None:
                    setattr(module, attribute, before)
            if same:
                unnoticed.append(alteration)
        assert torch.equal(network(x), expected)  # all is as it was
    assert unnoticed == []
    assert tried == (37 * 6 + 37 * 2 + 34 if name == "r2plus1d_18" else 20 * 6 + 20 * 2 + 17)  # conv, batch norm, ReLU


@pytest.mark.parametrize("name", ["r2plus1d_18", "r3d_18", "mc3_18"])
def test_same_seed_gives_torchvisions_weights(name):
    torch.manual_seed(5)
    theirs = getattr(reference, name)(num_classes=11).state_dict()
    torch.manual_seed(5)
    ours = networks.NETWORKS[name](num_classes=11).state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


@pytest.mark.parametrize("name", ["r2plus1d_18", "r3d_18", "mc3_18"])
def test_the_logits_that_torchvision_published(name):
    published = torch.tensor(
        json.loads((Path(__file__).with_name("published_logits.json")).read_text(encoding="utf-8"))[name]
    )
    torch.manual_seed(0)
    network = networks.NETWORKS[name](num_classes=50).eval()
    with torch.inference_mode():
        logits = network(torch.rand(1, 3, 4, 112, 112))[0]
    assert published.shape == (50,) and torch.allclose(logits, published, atol=1e-5, rtol=0)


def on_meta(member, depth=18, **options):
    with torch.device("meta"):
        return networks.NETWORKS[f"{member}_{depth}"](**options)


@pytest.mark.parametrize("member", COUNTS)
def test_the_family_has_the_papers_sizes(member):
    assert networks.count_parameters(on_meta(member, paper_widths=True)) == COUNTS[member]
    layers = blocks.summary(on_meta(member), (3, 16, 112, 112))
    last = [layer.output for layer in layers if layer.name.startswith("layer4")][-1]
    assert last == (512, FRAMES_LEFT[member], 7, 7)


def test_the_family_is_complete_by_name():
    assert set(networks.FAMILY) == set(COUNTS)
    assert set(networks.NETWORKS) == {f"{member}_{depth}" for member in COUNTS for depth in (18, 34)}


@pytest.mark.parametrize("name", ["r3d_18", "mc3_18", "r2plus1d_18"])
def test_a_function_builds_what_its_name_builds(name):
    states = []
    for build in (getattr(networks, name), networks.NETWORKS[name]):
        torch.manual_seed(0)
        states.append(build(3, 8).state_dict())
    assert list(states[0]) == list(states[1])
    assert all(torch.equal(values, states[1][key]) for key, values in states[0].items())


def test_thirty_four_layers():
    assert networks.count_parameters(on_meta("r2plus1d", 34)) == 61_831_661
    assert networks.count_parameters(on_meta("r2plus1d", 34, paper_widths=True)) == 63_697_175
    for member in COUNTS:
        layers = blocks.summary(on_meta(member, 34), (3, 16, 112, 112))
        weighted = [layer.name for layer in layers if layer.kind != "BatchNorm3d" and layer.parameters]
        stacked = [name for name in weighted if "downsample" not in name]
        assert len(stacked) == (67 if member == "r2plus1d" else 34)  # 33 (2+1)D convolutions are two each


def test_r2d_counts_its_frames_and_no_other_does():
    assert networks.count_parameters(on_meta("r2d", frames=8)) == 11_447_568
    for member in set(COUNTS) - {"r2d"}:
        assert networks.count_parameters(on_meta(member, frames=8)) == networks.count_parameters(
            on_meta(member, frames=16)
        )


@pytest.mark.parametrize("member", COUNTS)
@pytest.mark.parametrize("width, classes, frames, height", [(8, 2, 1, 32), (8, 5, 9, 33), (12, 1, 16, 17)])
def test_any_member_width_number_of_classes_and_size(member, width, classes, frames, height):
    torch.manual_seed(0)
    network = networks.NETWORKS[f"{member}_18"](classes, width, frames=frames).eval()
    x = clips(2, 3, frames, height, height + 8)
    maps = {}
    for name in ("stem", "layer1", "layer2", "layer3", "layer4"):
        getattr(network, name).register_forward_hook(
            lambda module, x, y, name=name: maps.update({name: tuple(y.shape[1:])})
        )
    with torch.inference_mode():
        logits = network(x)
        assert logits.shape == (2, classes) and logits.isfinite().all()
        assert torch.equal(network(x), logits)  # eval mode is deterministic
        again = networks.NETWORKS[f"{member}_18"](classes, width, frames=frames).eval()
        again.load_state_dict(network.state_dict(), strict=True)
        assert torch.equal(again(x), logits)
    assert len(maps) == 5
    kinds, times = networks.FAMILY[member], 1 if member == "r2d" else frames
    for stage, name in enumerate(maps):
        times = times if stage < 2 or kinds[stage] == "2D" else math.ceil(times / 2)
        halvings = max(stage, 1)
        sides = (math.ceil(height / 2**halvings), math.ceil((height + 8) / 2**halvings))
        assert maps[name] == (width * 2 ** max(stage - 1, 0), times, *sides), name


def test_frames_by_themselves_know_no_order():
    """f-R2D gives a clip and its reverse the same logits; the networks with temporal convolutions do not."""
    x = clips(1, 3, 8, 32, 32)
    for member in COUNTS:
        torch.manual_seed(0)
        network = randomize_batchnorm_(networks.NETWORKS[f"{member}_18"](5, 8, frames=8), seed=1).eval()
        with torch.inference_mode():
            same = torch.allclose(network(x), network(x.flip(2)), rtol=1e-4, atol=1e-4)
        assert same == (member == "fr2d"), member


def test_parameter_counts():
    published = reference.R2Plus1D_18_Weights.KINETICS400_V1.meta["num_params"]
    assert networks.count_parameters(on_meta("r2plus1d")) == published == 31_505_325
    assert networks.count_parameters(on_meta("r2plus1d", paper_widths=True)) == 33_370_839  # the paper's Table 2: 33.3M


@pytest.mark.parametrize(
    "inplanes, planes, expected",
    [
        (64, 64, 144),
        (64, 128, 230),
        (128, 128, 288),
        (128, 256, 460),
        (256, 256, 576),
        (256, 512, 921),
        (512, 512, 1152),
    ],
)
def test_midplanes(inplanes, planes, expected):
    assert blocks.midplanes(inplanes, planes) == expected
    whole = 27 * inplanes * planes
    factorised = expected * (9 * inplanes + 3 * planes)
    assert whole - (9 * inplanes + 3 * planes) < factorised <= whole  # as many weights as fit, never more


def test_intermediate_channels_of_torchvision_and_of_the_paper():
    def middles(network):
        return [
            block.conv2[0][0].out_channels
            for stage in (network.layer2, network.layer3, network.layer4)
            for block in stage
        ]

    assert middles(on_meta("r2plus1d")) == [230, 288, 460, 576, 921, 1152]
    assert middles(on_meta("r2plus1d", paper_widths=True)) == [288, 288, 576, 576, 1152, 1152]


def test_stem_has_45_intermediate_channels():
    assert on_meta("r2plus1d").stem[0].out_channels == 45
    assert blocks.midplanes(3, 64, t=3, d=7) == 83


@pytest.mark.parametrize(
    "width, classes, frames, height, paper", [(8, 2, 16, 112, False), (16, 10, 8, 64, True), (24, 1, 5, 33, False)]
)
def test_any_width_number_of_classes_and_size(width, classes, frames, height, paper):
    network = networks.r2plus1d_18(classes, width, paper).eval()
    with torch.inference_mode():
        assert network(clips(2, 3, frames, height, height + 8)).shape == (2, classes)
        features = network.layer4(
            network.layer3(network.layer2(network.layer1(network.stem(clips(1, 3, frames, height, height)))))
        )
    halved = lambda n, times: n if times == 0 else halved((n + 1) // 2, times - 1)  # noqa: E731
    assert features.shape == (1, 8 * width, halved(frames, 3), halved(height, 4), halved(height, 4))


@pytest.mark.parametrize("name", ["r2plus1d_18", "r2d_34", "mc3_18"])
@pytest.mark.parametrize("argument, value, least", [("num_classes", 0, 1), ("width", 7, 8), ("frames", 0, 1)])
def test_impossible_networks_are_refused(name, argument, value, least):
    with pytest.raises(ValueError, match=f"^{argument}={value}: must be at least {least}$"):
        networks.NETWORKS[name](**{argument: value})


@pytest.mark.parametrize(
    "kinds, message",
    [
        (("3D", "3D", "1D", "2D", "2D"), r"layer2 cannot be '1D'; choose from 2D, 3D, \(2\+1\)D$"),
        (("2+1D",) * 5, r"stem cannot be '2\+1D'; choose from 2D, 3D, \(2\+1\)D, R2D$"),
        (("R2D",) * 5, "layer1 cannot be 'R2D'"),
        (("3D",) * 4, "give five"),
        ("3D3D3", "give five"),
    ],
)
def test_unknown_kinds_are_refused(kinds, message):
    with pytest.raises(ValueError, match=message):
        networks.video_resnet(kinds)


def test_unknown_depths_are_refused_and_mixtures_of_ones_own_are_not():
    with pytest.raises(ValueError, match="depth=50: choose from 18, 34"):
        networks.video_resnet(networks.FAMILY["r3d"], depth=50)
    network = networks.video_resnet(("(2+1)D", "2D", "3D", "2D", "(2+1)D"), num_classes=3, width=8).eval()
    with torch.inference_mode():
        assert network(clips(1, 3, 6, 32, 32)).shape == (1, 3)


def test_summary_counts_what_torchvision_publishes():
    for name in ("r3d_18", "mc3_18", "r2plus1d_18"):
        with torch.device("meta"):
            network = getattr(reference, name)()
        layers = blocks.summary(network, (3, 16, 112, 112))
        meta = reference.__dict__[
            {"r3d_18": "R3D_18_Weights", "mc3_18": "MC3_18_Weights"}.get(name, "R2Plus1D_18_Weights")
        ].DEFAULT.meta
        assert sum(layer.parameters for layer in layers) == meta["num_params"]
        assert round(sum(layer.multiply_adds for layer in layers) / 1e9, 3) == meta["_ops"]


def test_summary_names_shapes_and_leaves_no_hooks():
    with torch.device("meta"):
        network = networks.r2plus1d_18(num_classes=5, width=16)
    layers = blocks.summary(network, (3, 9, 40, 48))
    assert blocks.summary(network, (3, 9, 40, 48)) == layers  # hooks of the first call are gone
    with pytest.raises(RuntimeError):
        blocks.summary(network, (4, 9, 40, 48))  # four colors
    assert not any(module._forward_hooks for module in network.modules())
    by_name = {layer.name: layer for layer in layers}
    assert by_name["stem.0"] == ("stem.0", "Conv3d", (1, 7, 7), (11, 9, 20, 24), 11 * 3 * 49, 11 * 3 * 49 * 9 * 20 * 24)
    assert by_name["fc"] == ("fc", "Linear", None, (5,), 128 * 5 + 5, 128 * 5)
    assert [layer.name for layer in layers if layer.kind == "Linear"] == ["fc"] == [layers[-1].name]


def test_receptive_field_of_each_stage_and_of_34_layers():
    network, path, fields = on_meta("r2plus1d"), nn.Sequential(), []
    for name in ("stem", "layer1", "layer2", "layer3", "layer4"):
        fields.append(blocks.receptive_field(path.append(getattr(network, name))))
    assert fields == [(3, 7, 7), (11, 23, 23), (25, 51, 51), (53, 107, 107), (109, 219, 219)]
    assert blocks.receptive_field(on_meta("r3d")) == (109, 219, 219)
    assert blocks.receptive_field(on_meta("fr2d")) == (1, 219, 219)
    frames = 1 + 2 + 3 * 4  # the first convolution of layer4 strides
    assert blocks.receptive_field(on_meta("rmc5")) == (frames, 219, 219)


@pytest.mark.parametrize("member", ["r2plus1d", "mc3"])
def test_receptive_field_is_that_of_any_layers_with_a_kernel(member):
    network = on_meta(member)
    expected = blocks.receptive_field(network)
    assert blocks.receptive_field(inference.conv3d_as_conv2d(network)) == expected != (1, 1, 1)
    pooled = nn.Sequential(nn.Conv3d(3, 4, 3), nn.MaxPool3d((1, 2, 2)), nn.Conv3d(4, 4, 3))
    assert blocks.receptive_field(pooled) == (5, 8, 8)  # 3, then 4, then 2 x 2 more in space
    small = inference.optimize_for_inference(networks.r3d_18(5, 8).eval(), size=(3, 2, 16, 16))
    for module in (small, nn.Sequential(nn.ReLU())):
        with pytest.raises(ValueError, match=f"no layer of this {type(module).__name__} has a kernel"):
            blocks.receptive_field(module)


@pytest.mark.parametrize("member", ["mc4", "r2plus1d"])
def test_receptive_field_is_what_gradients_reach(member):
    """Two stages of a narrow network with positive weights, batch norms that do nothing, and room on all sides."""
    network = networks.NETWORKS[f"{member}_18"](width=8).eval().requires_grad_(False)
    path = nn.Sequential(network.stem, network.layer1, network.layer2)
    for module in path.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
    x = torch.rand(1, 3, 32, 64, 64, requires_grad=True)
    path(x)[0, 0, 8, 8, 8].backward()
    reached = [int(axis.max() - axis.min()) + 1 for axis in x.grad[0].sum(0).nonzero().T]
    assert tuple(reached) == blocks.receptive_field(path)


@pytest.mark.parametrize("name", ["r2d_18", "mc3_18", "r3d_18", "r2plus1d_18", "rmc4_34"])
def test_what_is_kept_for_training_is_what_autograd_keeps(name):
    network = networks.NETWORKS[name](num_classes=5, width=8)
    x = clips(1, 3, 16, 64, 64)
    own = {values.untyped_storage().data_ptr() for values in [*network.parameters(), *network.buffers()]}
    kept = {}

    def note(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        output = network(x)
    with torch.device("meta"):
        layers = blocks.summary(networks.NETWORKS[name](num_classes=5, width=8), (3, 16, 64, 64))
    predicted = sum(map(blocks.activation_bytes, layers)) + 4 * x.numel()
    statistics = 8 * sum(layer.output[0] for layer in layers if layer.kind == "BatchNorm3d")  # means and variances
    assert predicted + statistics <= sum(kept.values()) <= predicted + statistics + 4 * output.numel() + 4 * 8 * 64


def test_a_kind_that_does_not_exist_has_no_cost():
    for kind in ("2+1D", "2d", ""):
        with pytest.raises(ValueError, match="choose from 2D, 3D"):
            blocks.conv_cost(kind, 64, 64)
