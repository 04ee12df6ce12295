"""A camera as clips: always the newest one. OpenCV opens the camera; `python -m helpers.classify --camera 0` uses it."""

import threading
import time
from collections import deque
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from helpers.reader import VideoError

__all__ = ["newest_clips"]


def newest_clips(source: int | str, frames: int = 16, fps: float = 15.0, patience: float = 5.0) -> Iterator[Tensor]:
    """The clips of a camera, uint8 (T, H, W, 3), each the newest when it is asked for; the camera is closed at the end.

    A thread films while the network computes, so no clip is old, and none is missed at its own rate: a camera that films
    faster than `fps` is read more often than it is kept.

    Args:
        source: the number of a camera, 0 for the first, or the address of one in the network.
        patience: seconds to wait for a frame.

    Raises VideoError: there is no such camera, or it goes away.
    """
    import cv2

    cv2.utils.logging.setLogLevel(0)  # it would print what the error says
    camera = cv2.VideoCapture(source)
    if not camera.isOpened():
        camera.release()
        remedy = (
            "Is it plugged in, used by another program, or forbidden by the system? The first camera has the number 0."
        )
        raise VideoError(str(source), "is not a camera that can be opened", remedy)
    kept, news, ends = deque(maxlen=frames), threading.Event(), threading.Event()

    def film():
        due = time.monotonic()
        while not ends.is_set():
            there, picture = camera.read()  # waits for the next frame, (H, W, 3), blue first
            if not there:
                return
            now = time.monotonic()
            if now >= due:
                kept.append(picture)
                due = max(due + 1 / fps, now - 1 / fps)  # a slow camera is not caught up with
                news.set()

    thread = threading.Thread(target=film, daemon=True)
    thread.start()
    try:
        while True:
            news.clear()
            if not news.wait(patience):
                raise VideoError(str(source), "shows nothing any more", "Is the camera still plugged in?")
            clip = tuple(kept)  # copied at once, since the thread goes on
            if len(clip) == frames:
                yield torch.from_numpy(np.stack(clip)[..., ::-1].copy())
    finally:
        ends.set()
        thread.join(patience)
        camera.release()
