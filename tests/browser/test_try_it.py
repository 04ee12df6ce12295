"""The page "Try it": the network in a real browser, against PyTorch, a file played as the camera, and what goes wrong."""

import contextlib
import json
import re
import subprocess
import sys
from functools import partial

import av
import numpy as np
import pytest
import torch
from conftest import FLAGS, ROOT, browser, camera_of, check_access, page_of, play
from playwright.sync_api import expect
from sklearn.linear_model import LogisticRegression

from helpers import classify, stickfigures, transforms, video, weights
from helpers.networks import NETWORKS
from helpers.scale.export import export_for_page
from helpers.stickfigures import MORE_ACTIONS

pytestmark = pytest.mark.browser
expect.set_options(timeout=20_000)  # a clip takes a second, or several on a busy machine

PAGE = "book/try_it.html"
WEBGPU = (
    "--enable-unsafe-webgpu --use-webgpu-adapter=swiftshader --enable-features=Vulkan --use-vulkan=swiftshader "
    "--ignore-gpu-blocklist"
).split()


@pytest.fixture(scope="module", autouse=True)
def whole(book):
    if not (book / PAGE).exists():
        pytest.skip("the site was built without this page: npm is missing")


@pytest.fixture(scope="module")
def camera(tmp_path_factory):
    """The file that is played as the camera."""
    return tmp_path_factory.mktemp("camera") / "camera.y4m"


@pytest.fixture(scope="module")
def opened(chromium, camera):
    """One browser for all tests, with a camera."""
    with browser(chromium, camera_of(camera)) as new:
        new.path = chromium
        yield new


@pytest.fixture
def page(opened, request, site):
    """The page, not started."""
    with page_of(opened, request, width=1280, height=1000, accept_downloads=True) as new:
        new.goto(site + PAGE)
        new.locator(".try.motions").wait_for()
        yield new


@pytest.fixture(scope="module")
def engine(opened, site):
    """A function that runs JavaScript with a module of the page as `it`, and data as `data`; what it returns."""
    page = opened.new_page()
    page.goto(site + PAGE)

    def run(module, script, data=None):
        said = page.evaluate(
            """async ([module, script, data]) => {
                const it = await import(new URL(`../_static/try/${module}.js`, location.href))
                const run = new Function("it", "data", `return (async () => {${script}})()`)
                return JSON.stringify(await run(it, JSON.parse(data)))
            }""",
            [module, script, json.dumps(data)],
        )
        return json.loads(said)

    yield run
    page.close()


@contextlib.contextmanager
def another(opened, flags):
    """A browser beside the first one, without a camera."""
    new = opened.browser_type.launch(executable_path=opened.path, args=[*FLAGS, *flags])
    yield new
    new.close()


def start(page):
    page.get_by_role("button", name="Start").click()
    expect(page.locator(".try.clip .answers li")).to_have_count(10)


def said(page, part):
    return page.locator(f".try.{part} > .said").last


FRAMES = "data.frames.map((f) => ({ ...f, data: new Uint8ClampedArray(f.data) }))"


def sent(frames):
    """Frames uint8 (T, H, W, 3) as the page has them."""
    opaque = np.concatenate([frames, np.full_like(frames[..., :1], 255)], -1)
    return [dict(width=f.shape[1], height=f.shape[0], data=f.ravel().tolist()) for f in opaque]


@pytest.mark.parametrize(
    ("height", "width", "crop"), [(240, 320, 112), (96, 128, 112), (333, 217, 64), (128, 171, 112)]
)
def test_preprocessing_equals_that_of_python(engine, height, width, crop):
    frames = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    size = transforms.resized_size(crop)
    about = dict(resized=size, crop=crop, mean=transforms.MEAN, std=transforms.STD)
    script = f"""const frames = {FRAMES}.map((frame) => it.seen(frame, data.about))
        return [frames.map((frame) => [...frame.data]), [...it.normalize(frames, data.about)]]"""
    seen, clip = engine("clips", script, dict(frames=sent(frames), about=about))
    ours = transforms.center_crop(transforms.resize(torch.from_numpy(frames), size), crop)
    seen = np.array(seen, dtype=int).reshape(2, crop, crop, 4)[..., :3]
    apart = np.abs(seen - ours.numpy())
    assert apart.max() <= 1 and (apart > 0).mean() < 0.01  # where a value lies between two levels
    theirs = transforms.normalize(torch.from_numpy(seen.astype(np.uint8)))
    assert torch.allclose(torch.tensor(clip).view(theirs.shape), theirs, atol=1e-6)


def test_orders_of_frames(engine):
    script = 'return ["forwards", "backwards", "shuffled", "shuffled"].map((order) => it.ordered(data, order))'
    forwards, backwards, shuffled, again = engine("clips", script, list(range(16)))
    assert forwards == list(range(16)) == backwards[::-1] == sorted(shuffled)
    assert shuffled == again and shuffled not in (forwards, backwards)


def rows(labels, step=0.5):
    """Rows of a stream whose best label is known."""
    dice = np.random.default_rng(1)
    for k, label in enumerate(labels):
        probs = dice.uniform(0, 0.1, 5)
        probs[label] = dice.uniform(0.3, 0.9)
        yield k * step, torch.from_numpy(probs / probs.sum())


def test_segments_equal_those_of_python(engine):
    script = "return it.segments(data.rows, data.seconds, data.threshold, data.shortest)"
    dice = np.random.default_rng(0)
    for _ in range(20):
        stream = list(rows(dice.integers(0, 5, dice.integers(1, 20)).repeat(2)))
        ours = classify.segments(stream, tuple("abcde"), 1.2)
        options = dict(rows=[[start, probs.tolist()] for start, probs in stream], seconds=1.2)
        theirs = engine("timeline", script, options | dict(threshold=0, shortest=0))
        assert [("abcde"[s["label"]], s["begin"], s["end"], s["prob"]) for s in theirs] == [
            (
                s.label,
                pytest.approx(s.start, abs=1e-6),
                pytest.approx(s.end, abs=1e-6),
                pytest.approx(s.probability, abs=1e-6),
            )
            for s in ours
        ]
        longer = engine("timeline", script, options | dict(threshold=0.5, shortest=1.5))
        assert longer[0]["begin"] == 0 and longer[-1]["end"] == pytest.approx(ours[-1].end)
        assert all(a["end"] == b["begin"] and a["label"] != b["label"] for a, b in zip(longer, longer[1:]))
        assert len(longer) == 1 or min(s["end"] - s["begin"] for s in longer) >= 1.5 - 1e-6
    one = dict(rows=[[0, [0.4, 0.3, 0.3]]], seconds=1, threshold=0.5, shortest=0)
    assert engine("timeline", script, one)[0]["label"] == -1


def test_the_classifier_is_softmax_regression(engine):
    """Against scikit-learn's, on standardised features, with the same decay, and classes of different sizes."""
    dice = np.random.default_rng(0)
    centres = dice.normal(0, 1, (3, 128))
    labels = np.repeat([0, 1, 2], [4, 8, 18])
    features = 5 + 3 * (centres[labels] + dice.normal(0, 2, (30, 128)))
    new = 5 + 3 * (centres + dice.normal(0, 2, (3, 128)))
    script = "const predict = it.train(data.features, data.labels, 3, 2000); return data.new.map(predict)"
    theirs = engine("classifier", script, dict(features=features.tolist(), labels=labels.tolist(), new=new.tolist()))
    scale = lambda x: (x - features.mean(0)) / features.std(0)  # noqa: E731
    ours = LogisticRegression(C=1 / (0.05 * 30), tol=1e-8, max_iter=5000, class_weight="balanced")
    ours.fit(scale(features), labels)
    assert np.allclose(theirs, ours.predict_proba(scale(new)), atol=1e-3)


def test_leave_one_out_is_honest(engine):
    """Of features that say nothing about the labels, no more are right than chance allows; the classifier fits all of them."""
    dice = np.random.default_rng(0)
    recordings = [dict(label=k % 2, features=dice.normal(0, 1, (3, 128)).tolist()) for k in range(24)]
    script = """const predict = it.trainOn(data, 2), most = (probs) => probs.indexOf(Math.max(...probs))
        const fitted = data.filter(({ label, features }) => features.every((x) => most(predict(x)) === label)).length
        return [fitted, await it.leaveOneOut(data, 2)]"""
    fitted, right = engine("classifier", script, recordings)
    assert fitted == 24 and 4 <= right <= 20


def test_the_answer_is_that_of_pytorch(page):
    """Of the built-in clip: logits, features, the maps of each stage, and the class activation map."""
    start(page)
    expect(said(page, "start")).to_contain_text("WebAssembly runs the network.")
    pretrained = weights.load()
    _, frames = video.read_middle_clip(weights.ASSETS / "jumping_jacks.mp4", pretrained.frames, pretrained.fps)
    maps, x = {}, pretrained.preprocess(frames)[None]
    with torch.inference_mode():
        for stage in ("stem", "layer1", "layer2", "layer3", "layer4"):
            x = maps[stage] = pretrained.network.get_submodule(stage)(x)
        logits = pretrained.network.fc(x.mean((2, 3, 4)))[0]
    proof = re.search(r"within ([\d.e-]+) of PyTorch's", page.locator(".try.clip .numbers").inner_text())
    assert float(proof[1]) <= 0.005
    answered = "document.querySelector('.try-it').model.get('answered')"
    for stage, expected in maps.items():
        page.locator(".try.look").get_by_text(stage, exact=True).click()
        page.wait_for_function(f"{answered}.outputs.{stage}")
        there = page.evaluate(f"JSON.stringify([...{answered}.outputs.{stage}.data])")
        apart = torch.tensor(json.loads(there)).view(expected.shape) - expected
        assert apart.abs().max() < 2e-3 * expected.abs().max(), stage
    there = torch.tensor(page.evaluate(f"[...{answered}.outputs.logits.data]"))
    assert 0 < (there - logits).abs().max() < 0.005  # half precision on disk
    best = int(logits.argmax())
    expect(said(page, "clip")).to_contain_text(f"The answer: {pretrained.labels[best]}")
    cam = page.evaluate(
        """async () => {
            const { activationMap } = await import(new URL("../_static/try/look.js", location.href))
            const model = document.querySelector(".try-it").model
            const { weight } = model.get("network").about, { outputs, probs } = model.get("answered")
            const best = probs.indexOf(Math.max(...probs))
            return [...activationMap(outputs.layer4, weight[best]).map]
        }"""
    )
    expected = torch.einsum("c, cthw -> thw", pretrained.network.fc.weight[best].detach(), maps["layer4"][0]).flatten()
    assert torch.allclose(torch.tensor(cam), expected, atol=5e-3 * float(expected.abs().max()))


def test_frames_backwards_are_another_action(page):
    start(page)
    page.get_by_label("a drawn clip").select_option("sit down")
    expect(said(page, "clip")).to_contain_text("The answer: sit down")
    page.locator(".try.clip").get_by_text("backwards").click()
    expect(said(page, "clip")).to_contain_text("The answer: stand up")
    page.locator(".try.clip").get_by_label("none below").press("End")
    expect(said(page, "clip")).to_contain_text("The answer: none of these")


def test_everybody_can_use_it(page):
    """Dark and light, on a telephone, and with the keyboard alone."""
    page.keyboard.press("Tab")
    page.get_by_role("button", name="Start").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".try.clip .answers li")).to_have_count(10)
    page.get_by_label("a drawn clip").focus()
    page.keyboard.press("ArrowDown")
    expect(said(page, "clip")).to_contain_text("raise arms")
    page.add_style_tag(content="* { transition: none !important }")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        expect(page.locator("html")).to_have_attribute("data-theme", scheme)
        check_access(page)
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


PLAYED = {  # containers and codecs that Chromium plays, where it was built with them
    "film.mp4": ("libx264", "yuv420p"),
    "film.mov": ("libx264", "yuv420p"),
    "film.webm": ("libvpx-vp9", "yuv420p"),
    "film.mkv": ("libvpx", "yuv420p"),
}


@pytest.mark.parametrize("name", PLAYED)
def test_a_file_of_the_readers_own(page, tmp_path, name):
    """What the network sees of it is what Python reads, but for the decoder's rounding."""
    codec, pixels = PLAYED[name]
    film = stickfigures.scene("wave", 901, 3, frames=45, size=(240, 320), seconds=3.0).frames
    with av.open(str(tmp_path / name), "w") as container:
        stream = container.add_stream(codec, rate=15)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 320, 240, pixels, 2_000_000
        for frame in film:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())
    start(page)
    page.locator(".try.clip input[type=file]").set_input_files(tmp_path / name)
    page.wait_for_function("document.querySelector('.try-it').model.get('clip').logits === null")
    seen = page.evaluate(
        "JSON.stringify(document.querySelector('.try-it').model.get('clip').frames.map((f) => [...f.data]))"
    )
    seen = np.array(json.loads(seen), dtype=int).reshape(16, 112, 112, 4)[..., :3]
    _, frames = video.read_middle_clip(tmp_path / name)
    ours = transforms.center_crop(transforms.resize(frames), 112).numpy().astype(int)
    apart = np.abs(seen - ours).mean((1, 2, 3))
    moved = np.abs(ours[1:] - ours[:-1]).mean()
    assert apart.mean() < 4, (apart, moved)
    expect(said(page, "clip")).to_contain_text("The answer: wave")


def test_a_longer_file_has_a_timeline(page, tmp_path):
    parts = [stickfigures.scene(action, 902, 1, frames=45, size=(240, 320), seconds=3.0).frames
             for action in ("wave", "jumping jacks")]  # fmt: skip
    video.write_video(tmp_path / "two.mp4", np.concatenate(parts), fps=15)
    start(page)
    page.locator(".try.timeline input[type=file]").set_input_files(tmp_path / "two.mp4")
    expect(said(page, "timeline")).to_have_text("two.mp4: 10 clips.", timeout=120_000)
    told = page.locator(".segments li").all_inner_texts()
    assert told[0].startswith("0.0 to ") and " wave" in told[0] and "jumping jacks" in told[-1]
    page.locator(".try.timeline").get_by_label("none below").press("End")
    expect(page.locator(".segments li")).to_have_count(1)
    expect(page.locator(".segments li")).to_contain_text("none of these")


def test_the_camera_shows_jumping_jacks(page, camera):
    play(camera, "jumping jacks")
    start(page)
    page.get_by_role("button", name="your camera").click()
    expect(page.get_by_role("button", name="stop the camera")).to_be_visible()
    page.wait_for_function("document.querySelector('.try-it').model.get('clip').logits === null")
    expect(said(page, "clip")).to_contain_text("The answer: jumping jacks")
    page.get_by_role("button", name="stop the camera").click()
    expect(page.get_by_role("button", name="your camera")).to_be_visible()


def test_it_learns_two_motions_that_the_weights_do_not_know(page, camera, tmp_path):
    """Taught from three recordings each; then each is shown, by other figures, and recognized; and the zip trains a network."""
    start(page)
    motions = page.locator(".try.motions")
    for row, name in enumerate(("clap", "hop")):
        assert name in MORE_ACTIONS
        play(camera, name)
        motions.get_by_role("textbox").nth(row).fill(name)
        motions.get_by_role("textbox").nth(row).press("Tab")
        for k in range(3):
            motions.locator(".motion").nth(row).get_by_role("button", name=f"record {name}").click()
            expect(motions.locator(".motion").nth(row).locator(".thumbnail")).to_have_count(k + 1)
        motions.get_by_role("button", name="turn the camera off").click()
    expect(motions.locator(".learned")).to_contain_text("of 6 recordings (always naming")
    motions.get_by_role("button", name="delete recording 3 of clap").click()
    expect(motions.locator(".learned")).to_contain_text(
        "of 5 recordings (always naming the most frequent motion gives 60 %)"
    )
    for name in ("hop", "clap"):
        play(camera, name, figures=range(5, 8))
        motions.get_by_role("button", name="recognize").click()
        expect(said(page, "motions")).to_contain_text(f"Now: {name}")
        motions.get_by_role("button", name="stop", exact=True).click()
        motions.get_by_role("button", name="turn the camera off").click()
    with page.expect_download() as download:
        motions.get_by_role("button", name="save as a zip file").click()
    download.value.save_as(tmp_path / "motions.zip")
    command = [sys.executable, "-m", "helpers.training", tmp_path / "motions.zip", "--out", tmp_path / "mine.pt"]
    command += "--crop-size 32 --frozen-epochs 1 --epochs 1 --batch-size 3 --workers 0".split()
    done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True)
    assert "3 videos of 3 groups in 2 classes to train on, 2 to test with." in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0


def tiny(folder):
    """A network with random weights for small clips, as a folder of the page's kind; and what it is made of."""
    settings = dict(network="r2plus1d_18", width=8)
    torch.manual_seed(0)
    network = NETWORKS["r2plus1d_18"](3, 8).eval()
    small = weights.Pretrained(
        "tiny", network, ("a", "b", "c"), partial(transforms.preprocess, crop_size=32), 4, 15.0, "Random weights.",
        "Not tested.", settings, 32,
    )  # fmt: skip
    export_for_page(small, folder)
    return small


@pytest.mark.parametrize("backend", ["WebAssembly", "WebGPU"])
def test_a_network_of_the_readers_own(opened, request, site, tmp_path, backend):
    """On the processor, and on a GPU in software, where only a small network is quick enough."""
    small = tiny(tmp_path)
    with another(opened, WEBGPU if backend == "WebGPU" else []) as new, page_of(new, request, 1280, 1000) as page:
        page.set_default_timeout(90_000)
        page.goto(site + PAGE)
        if backend == "WebGPU" and not page.evaluate("navigator.gpu?.requestAdapter().then(Boolean)"):
            pytest.skip("this Chromium has no adapter in software")
        files = [tmp_path / "network.json", tmp_path / "network.onnx"]
        page.locator(".try.start input[type=file]").set_input_files(files)
        expect(page.locator(".try.clip .answers li")).to_have_count(3, timeout=90_000)
        expect(said(page, "start")).to_contain_text(f"{backend} runs the network. Random weights.")
        answered = "document.querySelector('.try-it').model.get('answered')"
        there = page.evaluate(f"[{answered}.frames.map((f) => [...f.data]), [...{answered}.outputs.logits.data]]")
        frames = torch.tensor(there[0], dtype=torch.uint8).view(-1, 32, 32, 4)[:4, ..., :3]
        with torch.inference_mode():
            expected = small.network(transforms.normalize(frames)[None])[0]
        assert torch.allclose(torch.tensor(there[1]), expected, atol=0.02 * float(expected.abs().max()))


def test_the_network_is_cut_while_it_loads(page):
    """A sentence, and the button works again."""
    page.route("**/network.onnx*", lambda route: route.abort())
    page.get_by_role("button", name="Start").click()
    expect(said(page, "start")).to_contain_text("network.onnx cannot be had (no connection)")
    page.unroute("**/network.onnx*")
    start(page)


def test_a_file_is_missing_on_the_server(page):
    page.route("**/network.onnx*", lambda route: route.fulfill(status=404))
    page.get_by_role("button", name="Start").click()
    expect(said(page, "start")).to_contain_text("network.onnx cannot be had (404)")


def test_it_works_without_a_network_once_it_is_loaded(page):
    start(page)
    page.context.set_offline(True)
    page.locator(".try.clip").get_by_text("shuffled").click()
    page.wait_for_function("document.querySelector('.try-it').model.get('answered').apart === null")
    page.get_by_label("a drawn clip").select_option("walk")  # which it has not fetched
    expect(said(page, "clip")).to_contain_text("This clip cannot be had")
    page.context.set_offline(False)


def test_a_second_visit_loads_nothing_heavy(page):
    start(page)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    page.locator(".try.motions").wait_for()
    start(page)
    assert not [address for address in asked if address.endswith(".wasm") or "network.onnx" in address]


def test_nothing_heavy_is_loaded_before_start(opened, site):
    page, asked = opened.new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(site + PAGE)
    page.locator(".try.motions").wait_for()
    page.wait_for_timeout(500)
    assert not [address for address in asked if re.search(r"\.wasm|\.onnx|/ort/|\.webp", address)]
    page.close()


@pytest.mark.parametrize("content", [b"", b"no video at all" * 100, None], ids=["empty", "text", "cut"])
def test_a_broken_file_is_named(page, tmp_path, content):
    path = tmp_path / "broken.mp4"
    if content is None:
        content = (weights.ASSETS / "jumping_jacks.mp4").read_bytes()[:20_000]
    path.write_bytes(content)
    start(page)
    for part in ("clip", "timeline"):
        page.locator(f".try.{part} input[type=file]").set_input_files(path)
        expect(said(page, part)).to_contain_text(
            "broken.mp4 is not a video that this browser can play.", timeout=30_000
        )


REFUSALS = {
    "NotAllowedError": "may not use the camera",
    "NotReadableError": "Another program uses the camera",
    "NotFoundError": "There is no camera here",
}


@pytest.mark.parametrize("name", REFUSALS)
def test_the_camera_is_refused(opened, request, site, name):
    with page_of(opened, request, 1280, 1000) as page:
        refuse = f"navigator.mediaDevices.getUserMedia = async () => {{ throw new DOMException('', '{name}') }}"
        page.add_init_script(refuse)
        page.goto(site + PAGE)
        start(page)
        page.get_by_role("button", name="your camera").click()
        expect(said(page, "clip")).to_contain_text(REFUSALS[name])
        page.locator(".motion").first.get_by_role("button", name="record motion 1").click()
        expect(said(page, "motions")).to_contain_text(REFUSALS[name])
        page.get_by_label("a drawn clip").select_option("kick")
        expect(said(page, "clip")).to_contain_text("The answer: kick")


def test_an_address_that_is_not_safe_has_no_camera(opened, site, request):
    with page_of(opened, request, 1280, 1000) as page:
        page.add_init_script("Object.defineProperty(navigator, 'mediaDevices', { value: undefined })")
        page.goto(site + PAGE)
        expect(said(page, "motions")).to_contain_text("There is no camera here: browsers give one to https")
        expect(page.get_by_role("button", name="your camera")).to_be_disabled()
        start(page)


def test_buttons_before_start_say_what_to_do(page, tmp_path):
    (tmp_path / "film.mp4").write_bytes((weights.ASSETS / "jumping_jacks.mp4").read_bytes())
    for part in ("clip", "timeline"):
        page.locator(f".try.{part} input[type=file]").set_input_files(tmp_path / "film.mp4")
        expect(said(page, part)).to_contain_text("Press Start above first")
    page.locator(".motion").first.get_by_role("button", name="record motion 1").click()
    expect(said(page, "motions")).to_contain_text("Press Start at the top first")
    page.locator(".try.start input[type=file]").set_input_files(tmp_path / "film.mp4")
    expect(said(page, "start")).to_contain_text("Choose both files")


def test_a_reader_who_leaves_in_the_middle(page, site, camera):
    """While it loads, while it films, while a recording runs: no error, and the next visit works."""
    play(camera, "walk")
    page.get_by_role("button", name="Start").click()
    page.goto(site + "index.html")
    page.goto(site + PAGE)
    page.locator(".try.motions").wait_for()
    start(page)
    page.get_by_role("button", name="your camera").click()
    page.get_by_role("button", name="record motion 1").click()
    page.wait_for_timeout(1500)
    page.goto(site + PAGE)
    page.locator(".try.motions").wait_for()
    start(page)


def test_without_a_server_it_says_so(book, opened, request):
    with page_of(opened, request, 1280, 1000) as page:
        page.goto((book / PAGE).as_uri())
        expect(page.locator(".try-it").first).to_contain_text("python -m http.server")


def test_without_npm_the_site_has_no_such_page(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "book"))
    import try_it

    monkeypatch.setattr(try_it.shutil, "which", lambda name: None)
    assert try_it.missing() == "npm is not installed"


def test_a_quick_hand(page, camera):
    """Buttons are pressed twice while the camera opens, and turned off at once: one camera, and none at the end."""
    play(camera, "walk")
    page.evaluate(
        """() => {
            const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices)
            window.streams = []
            navigator.mediaDevices.getUserMedia = async (what) => {
                await new Promise((done) => setTimeout(done, 500))  // a prompt that waits for the reader
                const stream = await ask(what)
                window.streams.push(stream)
                return stream
            }
        }"""
    )
    on = "window.streams.filter((stream) => stream.active).length"
    start(page)
    page.get_by_role("button", name="your camera").dblclick()
    page.wait_for_timeout(1500)
    assert page.evaluate(on) == 0
    page.get_by_role("button", name="your camera").click()
    page.wait_for_function("document.querySelector('.try-it').model.get('clip').logits === null")
    assert page.evaluate(on) == 1
    page.get_by_label("a drawn clip").select_option("kick")
    expect(said(page, "clip")).to_have_text("The answer: kick.")
    page.wait_for_function(f"{on} === 0")
    page.get_by_role("button", name="record motion 1").click()
    page.get_by_role("button", name="record motion 2").click()
    page.get_by_role("button", name="turn the camera off").click()
    expect(said(page, "motions")).to_contain_text("The camera was t")
    page.wait_for_function(f"{on} === 0")


def test_another_network_meanwhile(page, tmp_path):
    """While a long file is classified a smaller network is loaded: the file stops with a sentence, and its frames go nowhere."""
    frames = stickfigures.scene("walk", 903, 1, frames=120, size=(240, 320), seconds=8.0).frames
    video.write_video(tmp_path / "long.mp4", frames, fps=15)
    tiny(tmp_path)
    start(page)
    page.locator(".try.timeline input[type=file]").set_input_files(tmp_path / "long.mp4")
    expect(page.locator(".segments li")).not_to_have_count(0)
    files = [tmp_path / "network.json", tmp_path / "network.onnx"]
    page.locator(".try.start input[type=file]").set_input_files(files)
    expect(page.locator(".try.clip .answers li")).to_have_count(3)
    expect(said(page, "timeline")).to_have_text(re.compile("stopped|Another network has taken its place"))
    page.locator(".try.timeline input[type=file]").set_input_files(tmp_path / "long.mp4")
    expect(said(page, "timeline")).to_contain_text("clips.", timeout=90_000)


def test_a_broken_download_is_not_kept(page):
    """A page in place of the network, as some public networks send it: a sentence, and the next start is whole."""
    page.route("**/network.onnx*", lambda route: route.fulfill(status=200, body="<html>Sign in first</html>"))
    page.get_by_role("button", name="Start").click()
    expect(said(page, "start")).to_contain_text("network.onnx has 26 bytes, not")
    page.unroute("**/network.onnx*")
    start(page)


def test_a_gpu_that_computes_something_else(chromium, opened, request, site, book):
    """The page asks it about the clip whose logits it knows, and takes WebAssembly, and says so."""
    with another(opened, WEBGPU) as new, page_of(new, request, 1280, 1000) as page:
        page.route("**/ort.webgpu.bundle.min.mjs*", lambda route: route.fulfill(
            content_type="text/javascript",
            body="""export class Tensor {}
                export const env = { wasm: {} }
                const wrong = { getData: async () => new Float32Array(10), dims: [1, 10] }
                export const InferenceSession = { create: async () => ({ run: async () => ({ logits: wrong }) }) }""",
        ))  # fmt: skip
        page.goto(site + PAGE)
        if not page.evaluate("navigator.gpu?.requestAdapter().then(Boolean)"):
            pytest.skip("this Chromium has no adapter in software")
        start(page)
        expect(said(page, "start")).to_contain_text(
            "WebAssembly runs the network (not the GPU: it computes other logits"
        )
        expect(said(page, "clip")).to_contain_text("The answer: jumping jacks")
