"""The explorers' modules in the browser's engine: what they compute, against Python, and how fast they answer."""

import contextlib
import itertools
import json
import random
import re
from math import prod

import numpy as np
import pytest
import torch
from conftest import ROOT, browser, page_of
from playwright.sync_api import expect
from torch import nn
from torch.nn import functional as F

from helpers import blocks, transforms, video, weights
from helpers.explorers import FOLDER, front, mosaic, on_page
from helpers.lessons import assemble_r2plus1d_18 as lesson_05
from helpers.lessons import build_the_2plus1d_block as lesson_03
from helpers.lessons.assemble_r2plus1d_18 import network_explorer
from helpers.lessons.classify_a_clip import timeline_explorer
from helpers.lessons.compare_3d_and_2plus1d import kernel_explorer
from helpers.lessons.look_inside import attribution_explorer
from helpers.lessons.meet_the_family import family_explorer
from helpers.lessons.see_a_video_as_a_tensor import slice_explorer
from helpers.networks import FAMILY, NETWORKS, video_resnet

pytestmark = pytest.mark.browser

VIDEO = weights.ASSETS / "jumping_jacks.mp4"
MOST = 20_000  # positions of the controls: where there are more, all ends are tried and 2,000 others


@pytest.fixture(scope="module")
def opened(chromium):
    """One browser for all tests."""
    with browser(chromium) as new:
        yield new


@pytest.fixture
def engine(opened, request):
    """A function that runs JavaScript with a module of an explorer as `it`, and data as `data`; what it returns."""
    with page_of(opened, request, width=800, height=1000) as page:
        page.goto("about:blank")

        def run(module, script, data=None):
            said = page.evaluate(  # in one text each way: Playwright takes long to hand over many numbers
                """async ([text, script, data]) => {
                    const it = await import(URL.createObjectURL(new Blob([text], { type: "text/javascript" })))
                    return JSON.stringify(await new Function("it", "data", script)(it, JSON.parse(data)))
                }""",
                [front(module)[0], script, json.dumps(data)],
            )
            return json.loads(said)

        yield run


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.js")))
def test_a_module_and_all_that_it_imports_is_one_text(engine, name):
    """Names that two of the modules declare would clash in it."""
    assert engine(name, "return Object.keys(it)")


def positions(**controls):
    """All positions of controls; where they are too many, those with each control at one of its ends, and 2,000 others."""
    names, values = list(controls), list(controls.values())
    if np.prod([len(v) for v in values]) <= MOST:
        chosen = itertools.product(*values)
    else:
        dice = random.Random(0)
        chosen = [*itertools.product(*({v[0], v[-1]} for v in values))]
        chosen += [tuple(map(dice.choice, values)) for _ in range(2000)]
    return [dict(zip(names, position)) for position in chosen]


KERNELS = dict(t=(1, 3, 5, 7), d=(1, 3, 5, 7), stride_t=(1, 2, 3), stride_s=(1, 2, 3), padding=("half", "none"))
CHANNELS = (3, 16, 32, 64, 128, 256, 512)
CLIPS = dict(frames=(2, 4, 8, 16), size=(14, 28, 56))


def convolutions(t, d, stride_t, stride_s, padding, inplanes, planes, midplanes, **clip):
    """The 3D convolution and the two halves of the other one, without numbers in them."""
    half = dict(half=(t // 2, d // 2), none=(0, 0))[padding]
    middle = midplanes or blocks.midplanes(inplanes, planes, t, d)

    def conv(inplanes, planes, t, d):
        strides, pads = (
            (stride_t if t else 1, *[stride_s if d else 1] * 2),
            (half[0] if t else 0, *[half[1] if d else 0] * 2),
        )
        return nn.Conv3d(inplanes, planes, (t or 1, d or 1, d or 1), strides, pads, bias=False, device="meta")

    return conv(inplanes, planes, t, d), conv(inplanes, middle, 0, d), conv(middle, planes, t, 0)


def test_the_kernels_cost_what_pytorch_says(engine):
    cases = positions(**KERNELS, inplanes=CHANNELS, planes=CHANNELS, midplanes=(0, 1, 45, 64, 3136), **CLIPS)
    said = engine("convolution", "return data.map(it.costs)", cases)
    fitting = 0
    for case, cost in zip(cases, said):
        three, space, time = convolutions(**case)
        assert cost["paper"] == blocks.midplanes(*(case[name] for name in ("inplanes", "planes", "t", "d")))
        assert cost["parameters"] == {
            name: conv.weight.numel() for name, conv in zip(("three", "space", "time"), (three, space, time))
        }
        clip = torch.empty(case["inplanes"], case["frames"], case["size"], case["size"], device="meta")
        try:
            out, between = three(clip), space(clip)
        except RuntimeError:  # it is larger than the clip
            assert not cost["fits"]
            continue
        fitting += 1
        assert cost["fits"] and cost["output"] == list(out.shape) == list(time(between).shape)
        assert cost["between"] == list(between.shape)
        places = dict(three=out[0].numel(), space=between[0].numel(), time=out[0].numel())
        assert cost["multiplyAdds"] == {name: cost["parameters"][name] * count for name, count in places.items()}
    assert fitting > 1000


def test_the_kernels_compute_what_pytorch_computes(engine):
    clip = kernel_explorer().clip
    whole = torch.frombuffer(bytearray(clip), dtype=torch.uint8).view(1, 1, 16, 56, 56).double() / 255
    cases = positions(**KERNELS, **CLIPS, filter=("edge", "moving edge", "blur", "difference"))
    dice = random.Random(1)
    cases = [case for case in dice.sample(cases, 80) if case["padding"] == "half" or case["frames"] >= case["t"]]
    own = dict(t=3, d=3, numbers=[round(dice.uniform(-2, 2), 2) for _ in range(27)])
    cases += [case | dict(filter="own", own=own) for case in dice.sample(cases, 10)]
    script = """
        return data.cases.map((state) => {
            const numbers = it.weights(state)
            const shape = it.costs({ ...state, inplanes: 1, planes: 1, midplanes: 1 }).output
            const conv = it.convolution(it.shrunk(data.clip, state.frames, state.size), numbers, state)
            const places = Array.from({ length: shape[1] * shape[2] * shape[3] }, (_, n) => it.position(n, shape))
            return { numbers, rank: it.rank(numbers, state.t), output: places.map((place) => conv.output(...place)) }
        })"""
    said = engine("convolution", script, dict(cases=cases, clip=list(clip)))
    for case, answer in zip(cases, said):
        t, d, half = case["t"], case["d"], case["padding"] == "half"
        kernel = torch.tensor(answer["numbers"], dtype=torch.float64).view(1, 1, t, d, d)
        if case["filter"] == "own":
            a, b = 3 // 2 - t // 2, 3 // 2 - d // 2  # where one of the two begins in the other
            filled = F.pad(torch.tensor(own["numbers"]).view(3, 3, 3), (9,) * 6)
            assert torch.equal(kernel[0, 0].float(), filled[9 + a : 9 + a + t, 9 + b : 9 + b + d, 9 + b : 9 + b + d])
        small = F.avg_pool2d(whole[0, 0, :: 16 // case["frames"]][:, None], 56 // case["size"])[:, 0]
        strides = case["stride_t"], case["stride_s"], case["stride_s"]
        pads = (t // 2, d // 2, d // 2) if half else 0
        expected = F.conv3d(small[None, None], kernel, stride=strides, padding=pads)
        assert torch.allclose(torch.tensor(answer["output"], dtype=torch.float64), expected.flatten(), atol=1e-5)
        assert answer["rank"] == torch.linalg.matrix_rank(kernel.view(t, d * d)), case


def test_what_the_filters_find(engine):
    """Each filter gives zero for what it does not look for, and something for what it does."""
    films = [[[float(x > at) for _ in range(7) for x in range(7)] for at in edges] for edges in ([2] * 5, range(5))]
    script = """
        const state = { t: 3, d: 3, stride_t: 1, stride_s: 1, padding: "none", frames: 5, size: 7 }
        const row = (film, name) => [0, 1, 2].map((i) => [0, 1, 2, 3, 4].map((k) =>
            it.convolution(film.flat(), it.filter(name, 3, 3), state).output(i, 2, k)))
        const names = ["edge", "moving edge", "blur", "difference"]
        return Object.fromEntries(names.map((name) => [name, data.map((film) => row(film, name))]))"""
    found = {name: np.array(both) for name, both in engine("convolution", script, films).items()}
    assert (found["difference"][0] == 0).all() and (found["difference"][1] != 0).any()
    assert found["moving edge"][1].max() > found["moving edge"][0].max()
    assert found["edge"][0].max() == found["edge"][1].max() == 3
    assert found["blur"].max() == 1 and set(np.unique(found["blur"][0])) == {0, 1}


@pytest.fixture
def page_with(opened, request):
    """A function that opens a page with nothing on it but one explorer; its model is `model` there."""
    stack = contextlib.ExitStack()

    def open_one(widget, width=800, **options):
        page = stack.enter_context(page_of(opened, request, width=width, height=1000, **options))
        page.set_content("<div class='runs-here'><script type='application/json'></script></div>")
        page.add_style_tag(content=widget._css)
        page.add_script_tag(path=ROOT / "book" / "explorers.js")
        page.evaluate(
            """async (data) => {
                const place = document.querySelector(".runs-here")
                place.firstElementChild.textContent = data
                window.sent = place.firstElementChild
                await run(place)
                window.model = place.model
            }""",
            on_page(widget),
        )
        return page

    with stack:
        yield open_one


def seconds_to_answer(page, control):
    """From a step of a control to the picture that follows it, the median of twenty, in seconds."""
    return page.evaluate(
        """async (input) => {
            const times = []
            for (let k = 0; k < 20; k++) {
                const start = performance.now()
                if (k % 2) input.stepDown(); else input.stepUp()
                input.dispatchEvent(new Event("input", { bubbles: true }))
                await new Promise((done) => requestAnimationFrame(() => setTimeout(done)))
                times.push(performance.now() - start)
            }
            return times.sort((a, b) => a - b)[10] / 1000
        }""",
        control.element_handle(),
    )


def test_the_kernels_follow_the_hand(page_with):
    page = page_with(kernel_explorer())
    said = page.locator(".said").first
    expect(said).to_contain_text("64 × 16 × 28 × 28 becomes 64 × 16 × 28 × 28")
    page.get_by_label("t, frames").press("ArrowRight")
    page.get_by_label("stride, space").press("ArrowRight")
    expect(said).to_contain_text("becomes 64 × 16 × 14 × 14. With M = 205, the paper's")
    assert page.locator(".number").all_inner_texts()[:2] == ["184,320", "183,680"]  # 205 (9 64 + 5 64)
    page.get_by_label("M, intermediate").press("ArrowLeft")
    expect(said).to_contain_text("M = 191, where the paper has 205")
    page.get_by_label("in", exact=True).press("ArrowLeft")
    expect(said).to_contain_text("M = 191, where the paper has 151")
    before = page.evaluate("[model.get('yaw'), model.get('place')]")
    page.locator("canvas.scene").focus()
    page.keyboard.press("ArrowRight")
    box = page.locator("canvas.output").bounding_box()
    page.mouse.click(box["x"] + 1, box["y"] + 1)  # the first place of this frame
    after = page.evaluate("[model.get('yaw'), model.get('place')]")
    assert after[0] > before[0] and after[1] % (14 * 14) == 0 and after[1] != before[1]


def test_the_kernels_can_be_typed(page_with):
    page = page_with(kernel_explorer())
    cell = page.get_by_label("weight in frame 2 of 3, row 2, column 2")
    cell.fill("2.5")
    cell.press("Enter")
    assert page.evaluate("model.get('filter')") == "own"
    assert page.evaluate("model.get('own').numbers")[13] == 2.5
    page.get_by_text("blur over time").click()
    page.get_by_text("one pair of a 1 × d × d and a t × 1 × 1 kernel computes the same").wait_for()
    assert float(cell.input_value()) == 0.33


def test_a_kernel_that_does_not_fit_is_said_to(page_with):
    page = page_with(kernel_explorer())
    page.get_by_text("none", exact=True).click()
    page.evaluate("model.set('frames', 2)")
    page.get_by_text("The kernel is larger than the clip").wait_for()
    assert page.get_by_role("button", name="move").is_disabled()
    page.get_by_text("half a kernel").click()
    page.get_by_text("becomes 64 × 2 × 28 × 28").wait_for()


@pytest.mark.parametrize("name", ["position", "t, frames", "rows, columns"])
def test_the_kernels_answer_at_once(page_with, name):
    page = page_with(kernel_explorer())
    page.evaluate("model.set('d', 7)")
    assert seconds_to_answer(page, page.get_by_label(name)) < 0.05


def test_a_film_arrives_as_it_was_sent(engine):
    frames = np.stack([np.full((16, 24, 3), (2 * t, 255 - 2 * t, 100), np.uint8) for t in range(111)])
    script = """return it.fromMosaic(new Uint8Array(data.bytes), [data.count, 16, 24]).then((film) =>
        data.at.map((t) => [film.pixel(t, 8, 12), film.pixel(t, 4, 6)]))"""
    for count, at in ((11, (0, 7, 8, 10)), (111, (0, 10, 11, 110))):  # eight a row, eleven a row
        said = engine("film", script, dict(bytes=list(mosaic(frames[:count])), count=count, at=at))
        for t, two in zip(at, said):
            assert np.abs(np.array(two, dtype=int) - frames[t, 0, 0]).max() <= 8


def test_cuts_are_slices(engine):
    """The three cuts of explorer 01 at every corner and in the middle are what indexing gives."""
    block = np.random.default_rng(0).integers(0, 256, (5, 6, 7, 3))
    script = """
        const pixels = (canvas) => [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data]
        return data.places.map((place) => it.cuts([5, 6, 7], place, (t, y, x) => data.block[t][y][x]).map(pixels))"""
    places = [*itertools.product((0, 4), (0, 5), (0, 6)), (2, 3, 3)]
    for (t, y, x), three in zip(places, engine("common", script, dict(block=block.tolist(), places=places))):
        for cut, expected in zip(three, (block[t], block[:, y], block[:, :, x]), strict=True):
            assert np.array_equal(np.reshape(cut, (*expected.shape[:2], 4))[..., :3], expected)


def test_the_slices_follow_hand_and_clock(page_with):
    page = page_with(slice_explorer())
    flat = page.locator("canvas.flat")
    expect(flat).to_have_attribute("aria-label", re.compile("frame 32, row 56 and column 56"))
    box = flat.bounding_box()
    page.mouse.click(box["x"] + 0.25 * box["width"], box["y"] + 0.1 * box["width"])  # on the frame: its half, its fifth
    expect(flat).to_have_attribute("aria-label", re.compile("frame 32, row 22 and column 5[56]"))
    page.mouse.click(box["x"] + 0.1 * box["width"], box["y"] + 0.76 * box["width"])  # on the row over time
    expect(flat).to_have_attribute("aria-label", re.compile("frame 3[12], row 22 and column 22"))
    page.get_by_role("slider", name="time").press("End")
    page.get_by_role("button", name="play").click()
    expect(flat).to_have_attribute("aria-label", re.compile(r"frame \d, row 22"))
    page.get_by_role("button", name="pause").click()
    assert seconds_to_answer(page, page.get_by_role("slider", name="row")) < 0.05


def test_the_reader_brings_a_film(page_with, tmp_path):
    """A bright square that moves to the right by two pixels a frame, 20 frames: what comes in is that, and no more frames."""
    frames = np.full((20, 128, 128, 3), 40, np.uint8)
    for t, frame in enumerate(frames):
        frame[48:80, 2 * t : 2 * t + 32] = 220
    video.write_video(tmp_path / "mine.mp4", frames, fps=30)
    (tmp_path / "letter.mp4").write_text("Dear reader", encoding="utf-8")
    page = page_with(slice_explorer())
    page.set_input_files("input[type=file]", tmp_path / "letter.mp4")
    expect(page.locator(".said")).to_have_text("letter.mp4 is not a video that this browser can play.")
    page.set_input_files("input[type=file]", tmp_path / "mine.mp4")
    expect(page.locator(".said")).to_have_text("")
    page.get_by_role("slider", name="time").press("End")
    expect(page.locator("output").first).to_have_text("19")
    bright = """(place) => { const c = document.querySelector(".flat"); const r = c.width / c.clientWidth
        const [x, y] = place.map((share) => share * c.clientWidth * r)
        return c.getContext("2d").getImageData(x, y, 1, 1).data[0] > 128 }"""
    middle, edge = (
        (2 * 19 + 16) / 128 / 2,
        (2 * 19 - 6) / 128 / 2,
    )  # of the square in the last frame, in shares of the picture
    page.wait_for_function(f"({bright})([{middle}, 0.23])")
    assert not page.evaluate(bright, [edge, 0.23])


def test_without_a_camera_the_reader_is_told(page_with):
    page = page_with(slice_explorer())
    if page.get_by_role("button", name="your camera").count():
        page.get_by_role("button", name="your camera").click()
        expect(page.locator(".said")).to_have_text(re.compile("no camera|may not use the camera"))


def test_pairs_are_singular_vectors(engine):
    cases = positions(motion=lesson_03.MOTIONS, speed=[k / 4 for k in range(25)], midplanes=range(1, 8))
    script = """return data.map(({ motion, speed, midplanes }) => {
        const kernel = it.motionKernel(motion, speed)
        const parts = it.svd(kernel)
        return { kernel, ...parts, again: it.approximation(parts, midplanes), rank: it.rank(parts.values) } })"""
    for case, said in zip(cases, engine("pairs", script, cases), strict=True):
        kernel = lesson_03.motion_kernel(case["motion"], case["speed"])
        assert torch.allclose(torch.tensor(said["kernel"], dtype=torch.float32).view(7, 7, 7), kernel, atol=1e-5)
        _, _, values = lesson_03.svd_factorize(kernel, case["midplanes"])
        assert torch.allclose(torch.tensor(said["values"], dtype=torch.float32), values, atol=2e-5)
        left_out = values[case["midplanes"] :].norm() / values.norm()
        assert abs(said["again"]["error"] - left_out) < 1e-5
        apart = torch.tensor(said["again"]["kernel"], dtype=torch.float32).view(7, 7, 7) - kernel
        assert abs(apart.norm() / kernel.norm() - left_out) < 1e-5
        assert said["rank"] == torch.linalg.matrix_rank(kernel.double().flatten(1), rtol=1e-6), case


def test_the_pairs_follow_the_hand(page_with):
    page = page_with(lesson_03.factorization_explorer())
    said = page.locator(".said")
    expect(said).to_have_text("The kernel of a moving edge takes 6 pairs. With 2, the relative error is 29 %.")
    page.get_by_label("M, pairs").press("End")
    expect(said).to_contain_text("With 7, the relative error is 0 %: the sum is exact.")
    page.get_by_text("drift").click()
    expect(said).to_contain_text("The kernel of a drift takes 2 pairs.")
    assert seconds_to_answer(page, page.get_by_label("speed")) < 0.05


def test_the_layers_are_those_of_the_network(engine):
    """Names, kinds, shapes, costs, memory and receptive fields at all 960 positions of the two sliders."""
    with torch.device("meta"):
        network = NETWORKS["r2plus1d_18"](400)
    frames, sizes = range(1, 65), range(32, 257, 16)
    # Of a layer's output the length in time depends on the frames alone, and height and width on the size.
    by_frames = {n: blocks.summary(network, (3, n, 112, 112)) for n in frames}
    by_size = {n: blocks.summary(network, (3, 16, n, n)) for n in sizes}
    cases = positions(frames=frames, size=sizes, width=[64], classes=[400], depth=[18], kinds=[FAMILY["r2plus1d"]])
    what = "[layer.output, layer.parameters, layer.multiplyAdds, layer.bytes]"
    script = f"return data.map((state) => it.layers(state).map((layer) => {what}))"
    fields = iter(receptive_fields(network))
    for told, layer in zip(engine("resnet", "return it.layers(data)", cases[0]), by_frames[1], strict=True):
        assert (told["name"], told["kind"], told["kernel"]) == (
            layer.name,
            layer.kind,
            layer.kernel and list(layer.kernel),
        )
        assert told["kernel"] is None or "downsample" in told["name"] or told["field"] == list(next(fields))
    for case, said in zip(cases, engine("resnet", script, cases), strict=True):
        pairs = zip(by_frames[case["frames"]], by_size[case["size"]])
        for (output, parameters, multiply_adds, kept), (in_time, in_space) in zip(said, pairs, strict=True):
            layer = in_time._replace(output=(*in_time.output[:2], *in_space.output[2:]))
            assert (output, parameters) == (list(layer.output), layer.parameters)
            cost = in_time.multiply_adds * prod(layer.output[1:]) // prod(in_time.output[1:])
            assert (multiply_adds, kept) == (cost, blocks.activation_bytes(layer)), layer


def receptive_fields(network):
    convolutions = [m for name, m in network.named_modules() if isinstance(m, nn.Conv3d) and "downsample" not in name]
    return (blocks.receptive_field(nn.Sequential(*convolutions[: k + 1])) for k in range(len(convolutions)))


def test_the_narrow_network_has_other_middles(engine):
    """Of the trained network in the repository: 16 channels."""
    with torch.device("meta"):
        layers = blocks.summary(NETWORKS["r2plus1d_18"](10, 16), (3, 16, 112, 112))
    case = dict(kinds=FAMILY["r2plus1d"], depth=18, frames=16, size=112, width=16, classes=10)
    said = engine("resnet", "return it.layers(data)", case)
    assert [layer["output"] for layer in said] == [list(layer.output) for layer in layers]
    assert [layer["parameters"] for layer in said] == [layer.parameters for layer in layers]


def test_the_network_follows_the_hand(page_with):
    page = page_with(network_explorer())
    said = page.locator(".said").first
    expect(said).to_contain_text("The whole network: 31,505,325 parameters, 40.52 G multiply-adds")
    page.get_by_role("button", name="layer4").click()
    page.get_by_role("slider", name="frames").press("End")
    expect(page.locator("tr.chosen")).to_contain_text("512 × 8 × 7 × 7")
    expect(page.locator("tr.chosen")).to_contain_text("109 × 219 × 219")
    page.get_by_role("button", name="0.conv1.0.0").click()
    expect(page.locator(".insides .said")).to_contain_text("layer4.0.conv1.0.2, the 3 channels that vary most")
    expect(page.get_by_role("button", name="0.conv1.0.0")).to_be_focused()
    page.get_by_role("button", name="fc 400").click()
    expect(page.locator(".insides .said")).to_contain_text("the five most probable actions")
    assert seconds_to_answer(page, page.get_by_role("slider", name="rows, columns")) < 0.05


def test_the_maps_are_those_of_the_network():
    explorer = network_explorer()
    assert explorer.predictions[0][0] == "jumping jacks" and len(explorer.pooled) == 128
    assert explorer.maps["layer4.1.relu"]["shape"] == [2, 3 * 7, 7]
    outputs = lesson_05.stage_outputs(weights.load().network, transforms.preprocess(video.read_clip(VIDEO)))
    for stage in ("stem", "layer1", "layer2", "layer3", "layer4"):
        last = explorer.maps["stem.5" if stage == "stem" else f"{stage}.1.relu"]
        varies = outputs[stage].flatten(1).var(1)
        assert last["channels"] == varies.argsort(descending=True)[:3].tolist()
        assert abs(last["zero"] - float((outputs[stage] == 0).float().mean())) < 1e-4


def test_any_mixture_costs_what_it_costs_in_pytorch(engine):
    dice = random.Random(2)
    stages = [("R2D", "2D", "3D", "(2+1)D"), *[("2D", "3D", "(2+1)D")] * 4]
    drawn = [(tuple(map(dice.choice, stages)), dice.choice((18, 34))) for _ in range(40)]
    cases = [
        dict(kinds=kinds, depth=depth, frames=frames, size=dice.choice(range(32, 257, 16)), width=64, classes=400)
        for kinds, depth in [*itertools.product(FAMILY.values(), (18, 34)), *drawn]
        for frames in [dice.choice((1, 64, dice.randint(2, 63)))]
    ]
    for case, said in zip(cases, engine("resnet", "return data.map(it.layers)", cases), strict=True):
        with torch.device("meta"):
            network = video_resnet(case["kinds"], case["depth"], frames=case["frames"])
        layers = blocks.summary(network, (3, case["frames"], case["size"], case["size"]))
        for told, layer in zip(said, layers, strict=True):
            kind = "Conv3d" if layer.kernel else layer.kind  # the notebook has names of its own for some
            assert (told["name"], told["kind"], told["output"]) == (layer.name, kind, list(layer.output))
            assert (told["parameters"], told["multiplyAdds"]) == (layer.parameters, layer.multiply_adds)
            assert told["bytes"] == blocks.activation_bytes(layer) and told["live"] <= told["parameters"]


@pytest.mark.parametrize("frames", [1, 2, 4, 5, 8, 9, 16])
@pytest.mark.parametrize("member", ["r3d", "r2plus1d", "mc3", "rmc4", "r2d"])
def test_live_weights_are_those_with_a_gradient(member, frames, engine):
    torch.manual_seed(0)
    network = video_resnet(FAMILY[member], num_classes=5, width=8, frames=frames)
    F.cross_entropy(network(torch.randn(4, 3, frames, 48, 48)), torch.arange(4)).backward()
    case = dict(kinds=FAMILY[member], depth=18, frames=frames, size=48, width=8, classes=5)
    live = {layer["name"]: layer["live"] for layer in engine("resnet", "return it.layers(data)", case)}
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv3d):
            taps = module.weight.grad.abs().amax((0, 1)) > 0  # (T, H, W): does any weight there have a gradient?
            assert live[name] == taps.sum() * module.in_channels * module.out_channels, name


def test_the_family_follows_the_hand(page_with):
    page = page_with(family_explorer())
    last, said = page.locator("tr.chosen"), page.locator(".said")
    expect(last).to_contain_text("54.0 %")
    expect(said).to_contain_text("R3D, 18 layers, 8 frames, in the paper's Table 2: 49.4 % clip accuracy and 61.8 %")
    page.get_by_label("network").select_option("r2plus1d")
    expect(last).to_contain_text("88.0 %")
    page.get_by_role("slider", name="frames").press("ArrowRight")
    expect(last).to_contain_text("100.0 %")
    expect(said).to_contain_text("clips of 8 or 16 frames")
    page.get_by_role("group", name="layer4").get_by_text("2D", exact=True).click()
    expect(said).to_have_text("The paper has not trained this mixture.")
    expect(page.get_by_label("network")).to_have_value("")
    page.get_by_text("34").click()
    expect(page.locator("tbody tr").nth(4)).to_contain_text("512 × 3 × 7 × 7")
    assert seconds_to_answer(page, page.get_by_role("slider", name="rows, columns")) < 0.05


def test_the_clip_of_a_moment_is_the_one_around_it(engine):
    """At every frame of a video of 57, whose last clip begins out of step, and for one that is shorter than a clip."""
    for starts, count in (([0, 8, 16, 24, 32, 40, 41], 57), ([0], 16)):
        script = "return Array.from({ length: data.count }, (_, t) => it.clipAt(t, data.starts, 16))"
        for moment, clip in enumerate(engine("timeline", script, dict(starts=starts, count=count))):
            apart = [abs(start + 8 - (moment + 0.5)) for start in starts]
            assert apart[clip] == min(apart)
            assert starts[clip] <= moment < starts[clip] + 16


def test_the_timeline_follows_the_hand(page_with):
    explorer = timeline_explorer()
    assert len(explorer.starts) == len(explorer.probs) == 22 and explorer.shape == [180, 112, 112]
    page = page_with(explorer)
    said = page.locator(".said")
    for seconds, action in ((1.5, "wave"), (4.5, "jumping jacks"), (7.5, "cartwheel"), (10.5, "kick")):
        page.evaluate(f"model.set('moment', {15 * seconds})")
        expect(said).to_contain_text(f": {action}, ")
        row = explorer.probs[min(range(22), key=lambda k: abs(explorer.starts[k] + 7.5 - 15 * seconds))]
        assert explorer.labels[row.index(max(row))] == action
    lanes = page.locator("canvas.drawing").bounding_box()
    page.mouse.click(lanes["x"] + 110 + 0.125 * (lanes["width"] - 110), lanes["y"] + 10)  # at an eighth of the time
    expect(said).to_contain_text(": wave, ")
    page.get_by_role("button", name="play").click()
    page.wait_for_function("model.get('moment') > 24")
    page.get_by_role("button", name="pause").click()
    time = page.get_by_role("slider", name="time")
    time.evaluate("input => { input.step = 1 }")
    assert seconds_to_answer(page, time) < 0.05


def test_the_attribution_follows_the_hand(page_with):
    explorer = attribution_explorer()
    page = page_with(explorer)
    said = page.locator(".said")
    expect(said).to_have_text(f"frame 8: {100 * explorer.fractions['layer4'][8]:.0f} % of the attribution by layer4")
    page.get_by_text("layer2").click()
    page.get_by_role("slider", name="frame").press("Home")
    expect(said).to_have_text(f"frame 0: {100 * explorer.fractions['layer2'][0]:.0f} % of the attribution by layer2")
    for shares in explorer.fractions.values():
        assert max(shares) == 0 or abs(sum(shares) - 1) < 0.002
    bars = page.locator("canvas.bars").bounding_box()
    page.mouse.click(bars["x"] + bars["width"] * 12.5 / 16, bars["y"] + 50)
    expect(said).to_contain_text("frame 12:")
    assert seconds_to_answer(page, page.get_by_role("slider", name="frame")) < 0.05


def test_two_explorers_in_a_document_do_not_meet(page_with):
    """As when two notebooks are open in JupyterLab: names of controls are their own."""
    page = page_with(kernel_explorer())
    page.evaluate(
        """async () => {
            const second = document.querySelector(".runs-here").cloneNode()
            second.append(window.sent.cloneNode(true))
            document.body.append(second)
            await run(second)
        }"""
    )
    ids = page.locator("[id]").evaluate_all("elements => elements.map(element => element.id)")
    assert len(ids) == len(set(ids)) > 20
    first, second = page.locator(".explorer").all()
    second.get_by_text("blur over time").click()
    second.get_by_label("t, frames").press("ArrowRight")
    expect(first.get_by_label("moving edge", exact=True)).to_be_checked()
    expect(second.get_by_label("blur over time")).to_be_checked()
    expect(first.get_by_label("t, frames")).to_have_value("1")
    expect(second.get_by_label("t, frames")).to_have_value("2")
