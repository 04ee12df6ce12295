"""What others have published, as it is today: addresses, weights, a real clip. Weekly, by a workflow; it wants a connection.

VIDEO_RESNET_PUBLISHED=1 pytest tests/unit/test_published.py
"""

import os
import urllib.request

import pytest
import torch
from torchvision.models import video as reference

from helpers import classify, video, weights

pytestmark = pytest.mark.skipif(
    os.environ.get("VIDEO_RESNET_PUBLISHED", "0") in ("", "0"), reason="VIDEO_RESNET_PUBLISHED=1 asks the internet"
)
TORCHVISIONS = [name for name in weights.SOURCES if name.startswith("kinetics400")]


@pytest.fixture(autouse=True)
def connected(monkeypatch):
    monkeypatch.setenv("VIDEO_RESNET_OFFLINE", "0")


@pytest.fixture(scope="module")
def clip():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDEO_RESNET_OFFLINE", "0")
        return weights.download(*weights.JUGGLING)


ADDRESSES = {name: source.url for name, source in weights.SOURCES.items()} | {"a clip": weights.JUGGLING[0]}


@pytest.mark.parametrize("url", ADDRESSES.values(), ids=ADDRESSES)
def test_the_address_answers(url):
    with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=30) as answer:
        assert answer.status == 200 and int(answer.headers["Content-Length"]) > 100_000


@pytest.mark.parametrize("name", TORCHVISIONS)
def test_the_weights_fit_and_give_torchvisions_logits(name, clip):
    ours = weights.load(name)  # strictly, or not at all
    theirs = getattr(reference, weights.SOURCES[name].network)(weights="DEFAULT").eval()
    x = ours.preprocess(video.read_clip(clip))[None]
    with torch.inference_mode():
        logits, expected = ours.network(x), theirs(x)
    assert (logits - expected).abs().max() < 1e-5 * expected.abs().max()


def test_juggling_a_football_is_recognized(clip):
    predictions = classify.predict_video(clip, weights.load("kinetics400"), device="cpu")
    assert "juggling soccer ball" in [prediction.label for prediction in predictions]
