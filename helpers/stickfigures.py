"""Stick figures in action: a video data set that is drawn, not downloaded.

A figure of ten capsules and a head moves by forward kinematics. Body, place, scale, colors, background, speed, phase,
onset, camera shake and noise are drawn at random from (seed, index), so that only the motion tells the action. Three
pairs of actions are exact reversals of each other in time: they have the same frames in the opposite order, and no
single frame can tell which of the two it comes from.

Vectors in the plane are complex numbers here, x to the right and y up. To turn one by an angle is a multiplication.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

__all__ = ["ACTIONS", "JOINTS", "MORE_ACTIONS", "REVERSE_OF", "SECONDS", "Scene", "StickFigures", "scene"]

SECONDS = 16 / 15.0  # 16 frames at 15 fps, the frame rate at which the published video networks were tested

ACTIONS = ("raise arms", "lower arms", "sit down", "stand up", "walk", "moonwalk",
           "wave", "jumping jacks", "kick", "cartwheel")  # fmt: skip
MORE_ACTIONS = ("squat", "bow", "clap", "hop", "arm circles")  # which the stored weights have not seen
REVERSE_OF = {"lower arms": "raise arms", "stand up": "sit down", "moonwalk": "walk"}

JOINTS = ("pelvis", "chest", "head", "nose", "shoulder 1", "shoulder 2", "elbow 1", "elbow 2", "hand 1", "hand 2",
          "hip 1", "hip 2", "knee 1", "knee 2", "foot 1", "foot 2")  # fmt: skip
_LIMBS = (("shoulder", "elbow"), ("elbow", "hand"), ("hip", "knee"), ("knee", "foot"))
_BONES = [(f"{start} {side}", f"{end} {side}") for start, end in _LIMBS for side in (1, 2)]
_DOWN, _UP = -1j, 1j
_BRIGHTNESS = (0.299, 0.587, 0.114)  # of red, green and blue


class Scene(NamedTuple):
    """Drawn frames and what the drawing knows about them."""

    frames: np.ndarray  #: uint8, (T, H, W, 3), RGB
    mask: np.ndarray  #: float32, (T, H, W), the fraction of each pixel that the figure covers, 0 to 1
    joints: np.ndarray  #: float64, (T, 16, 2), x and y in pixels from the top left corner, in the order of `JOINTS`


# The actions. Each takes the times t (T,) in seconds, the length of the video and a function that draws a random number.
# It returns a pose for every time: angles in radians from "hanging straight down", outwards for a figure seen from the
# front, forwards for one seen from the side. The angle of a limb may be one array or a list of two, one for each side.


def _once(t, seconds, uniform):
    """A movement made once: 0 before it, 1 after it, a smooth step between; (T,)."""
    duration = min(uniform(0.45, 0.8), 0.9 * seconds)
    s = np.clip((t - uniform(0.0, seconds - duration)) / duration, 0, 1)
    return s * s * (3 - 2 * s)


def _raise_arms(t, seconds, uniform):
    lift = _once(t, seconds, uniform)
    low, high = uniform(0.05, 0.4), uniform(2.4, 2.95)
    return dict(front=True, arm=low + (high - low) * lift, elbow=uniform(0, 0.3), leg=uniform(0.03, 0.2))


def _sit_down(t, seconds, uniform):
    down = _once(t, seconds, uniform)
    lean = down * uniform(0.1, 0.35) + 0.25 * np.sin(np.pi * down)
    thigh = down * uniform(1.3, 1.6)
    shin = down * uniform(-0.15, 0.15)  # the angle of the shin itself stays near zero: the feet stay where they are
    arm = uniform(-0.1, 0.2) + down * uniform(0.3, 0.9)
    return dict(lean=lean, arm=arm, elbow=0.2 + down * uniform(0.2, 0.7), leg=thigh, knee=thigh - shin)


def _walk(t, seconds, uniform):
    pace = uniform(0.8, 1.3)
    phase = 2 * np.pi * (pace * t + uniform(0, 1))
    stride, swing, bend = uniform(0.4, 0.6), uniform(0.3, 0.7), uniform(0.6, 1.0)
    legs = [stride * np.sin(phase + turn) for turn in (0, np.pi)]
    knees = [0.1 + bend * np.maximum(0, np.cos(phase + turn)) for turn in (0, np.pi)]  # a leg bends as it comes forward
    arms = [swing * np.sin(phase + turn) for turn in (np.pi, 0)]  # each arm goes with the opposite leg
    forward = pace * 4 * 0.49 * np.sin(stride) * t  # two steps a cycle, each as long as the legs spread
    return dict(lean=uniform(0, 0.12), arm=arms, elbow=uniform(0.1, 0.5), leg=legs, knee=knees, x=forward)


def _wave(t, seconds, uniform):
    beat = np.sin(2 * np.pi * (uniform(1.3, 2.3) * t + uniform(0, 1)))
    arms = [uniform(1.9, 2.5) + 0.08 * beat, uniform(0.05, 0.4)]
    elbows = [uniform(0.4, 0.7) + uniform(0.4, 0.65) * beat, uniform(0, 0.3)]
    return dict(front=True, arm=arms, elbow=elbows, leg=uniform(0.03, 0.25))


def _jumping_jacks(t, seconds, uniform):
    phase = uniform(0.9, 1.4) * t + uniform(0, 1)
    out = 0.5 - 0.5 * np.cos(2 * np.pi * phase)
    hop = uniform(0.02, 0.06) * np.abs(np.sin(2 * np.pi * phase))
    arm = 0.15 + uniform(2.2, 2.7) * out
    return dict(front=True, hop=hop, arm=arm, elbow=uniform(0, 0.25), leg=0.05 + uniform(0.3, 0.5) * out)


def _kick(t, seconds, uniform):
    phase = uniform(0.9, 1.3) * t + uniform(0, 1)
    swing = np.sin(2 * np.pi * phase)
    leg = 0.35 + uniform(0.65, 0.95) * swing
    knee = uniform(0.4, 0.8) * (1 - swing)  # bent behind, straight in front
    arms = [uniform(0.2, 0.9), -uniform(0.2, 0.9)]
    lean = -0.1 - 0.15 * swing
    return dict(lean=lean, arm=arms, elbow=uniform(0.1, 0.6), leg=[leg, 0.0], knee=[knee, uniform(0, 0.15)])


def _cartwheel(t, seconds, uniform):
    turns = uniform(0.7, 1.1)
    turn = 2 * np.pi * (turns * t + uniform(0, 1))
    arm, leg = uniform(2.4, 2.8), uniform(0.35, 0.6)
    return dict(front=True, arm=arm, elbow=0.0, leg=leg, turn=-turn, x=turns * uniform(0.7, 1.0) * t)


def _squat(t, seconds, uniform):
    down = _again_and_again(t, uniform(0.7, 1.2), uniform)
    thigh = down * uniform(1.2, 1.7)
    arm = uniform(0, 0.3) + down * uniform(0.8, 1.4)  # forwards, for balance
    lean = down * uniform(0.3, 0.6)
    return dict(lean=lean, arm=arm, elbow=uniform(0, 0.3), leg=thigh, knee=thigh * uniform(1.3, 1.6))


def _bow(t, seconds, uniform):
    lean = _again_and_again(t, uniform(0.7, 1.2), uniform) * uniform(0.9, 1.4)
    arm, elbow = uniform(-0.2, 0.2), uniform(0, 0.3)
    return dict(lean=lean, arm=arm, elbow=elbow, leg=uniform(-0.05, 0.05), knee=uniform(0, 0.1))


def _clap(t, seconds, uniform):
    together = _again_and_again(t, uniform(1.4, 2.4), uniform)
    arm = uniform(0.5, 1.1)
    return dict(front=True, arm=arm, elbow=-uniform(0.3, 0.7) - (0.9 + arm) * together, leg=uniform(0.03, 0.25))


def _hop(t, seconds, uniform):
    phase = uniform(1.2, 1.9) * t + uniform(0, 1)
    bend = uniform(0.4, 0.8) * np.maximum(0, np.cos(2 * np.pi * phase))  # on the ground, to jump from
    high = uniform(0.08, 0.16) * np.maximum(0, -np.cos(2 * np.pi * phase))
    return dict(hop=high, lean=0.5 * bend, arm=uniform(-0.2, 0.3), elbow=uniform(0.3, 1.2), leg=bend, knee=2 * bend)


def _arm_circles(t, seconds, uniform):
    turn = 2 * np.pi * (uniform(0.9, 1.5) * t + uniform(0, 1))
    return dict(front=True, arm=[turn, turn], elbow=uniform(0, 0.2), leg=uniform(0.03, 0.25))


def _again_and_again(t, pace, uniform):
    """A movement made again and again: from 0 to 1 and back, `pace` times per second; (T,)."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * (pace * t + uniform(0, 1)))


_POSES = {"raise arms": _raise_arms, "sit down": _sit_down, "walk": _walk, "wave": _wave, "jumping jacks": _jumping_jacks,
          "kick": _kick, "cartwheel": _cartwheel, "squat": _squat, "bow": _bow, "clap": _clap, "hop": _hop,
          "arm circles": _arm_circles}  # fmt: skip


def _skeleton(t, uniform, front=False, lean=0.0, arm=0.0, elbow=0.0, leg=0.0, knee=0.0, x=0.0, hop=0.0, turn=0.0):
    """Forward kinematics: from angles to the joints of a body about one unit tall; complex, (16, T)."""
    lengths = (0.29, 0.115, 0.165, 0.15, 0.25, 0.24)
    torso, neck, upper, fore, thigh, shin = (length * uniform(0.9, 1.1) for length in lengths)
    spine = _UP * np.exp(-1j * np.broadcast_to(lean, t.shape))
    chest = torso * spine
    head = chest + neck * spine
    nose = head + (0.0 if front else 0.085) * spine * _DOWN
    shoulder, hip = (0.085, 0.04) if front else (0.012, 0.01)
    joints = {"pelvis": 0 * spine, "chest": chest, "head": head, "nose": nose}
    pairs = [angle if isinstance(angle, list) else [angle, angle] for angle in (arm, elbow, leg, knee)]
    limbs = zip((1, -1), *([np.broadcast_to(angle, t.shape) for angle in pair] for pair in pairs))
    for number, (side, arm, elbow, leg, knee) in enumerate(limbs, start=1):
        out = side if front else 1  # from the front the two sides mirror each other, from the side both go forwards
        joints[f"shoulder {number}"] = chest + side * shoulder * spine * _DOWN
        joints[f"elbow {number}"] = joints[f"shoulder {number}"] + upper * _DOWN * np.exp(1j * out * arm)
        joints[f"hand {number}"] = joints[f"elbow {number}"] + fore * _DOWN * np.exp(1j * out * (arm + elbow))
        joints[f"hip {number}"] = side * hip * spine * _DOWN
        joints[f"knee {number}"] = joints[f"hip {number}"] + thigh * _DOWN * np.exp(1j * out * leg)
        joints[f"foot {number}"] = joints[f"knee {number}"] + shin * _DOWN * np.exp(1j * out * (leg - knee))
    body = np.stack([joints[name] for name in JOINTS]) * np.exp(1j * np.broadcast_to(turn, t.shape))
    if np.ndim(x) == 0:  # a figure that stays in place keeps its foot there, and the pelvis moves
        body = body - body[JOINTS.index("foot 2")].real
    return body + x - 1j * body.imag.min(axis=0) + 1j * hop


def _place(body, height, width, stage, uniform):
    """Put the body at a random place where all of its way is on the stage: its joints in pixels, its unit in pixels."""
    side = stage * min(height, width)
    room = 0.08  # the head and the thickness of the limbs reach beyond the joints
    low_x, high_x, high_y = body.real.min() - room, body.real.max() + room, body.imag.max() + room
    unit = side * min(uniform(0.5, 0.78), 0.98 / (high_x - low_x), 0.98 / (high_y + room))  # all of it fits
    facing = 1 if uniform(0, 1) < 0.5 else -1
    x = uniform(-side / 2 - low_x * unit, side / 2 - high_x * unit)
    ground = uniform(-side / 2 + room * unit, side / 2 - high_y * unit)  # from the middle of the frame, upwards
    points = facing * (body.real * unit + x) + 1j * (body.imag * unit + ground)
    return width / 2 + points.real + 1j * (height / 2 - points.imag), unit


def _cover(points, unit, thickness, height, width):
    """How much of each pixel the figure covers, from the distance to the nearest capsule; float32, (T, H, W)."""
    joint = dict(zip(JOINTS, points[:, :, None, None]))
    shapes = [(joint[start], joint[end], thickness) for start, end in [("shoulder 1", "shoulder 2"), *_BONES]]
    shapes += [(joint["pelvis"], joint["chest"], thickness + 0.02)]
    shapes += [(joint["head"], joint["head"], 0.068), (joint["head"], joint["nose"], 0.022)]
    reach = 0.1 * unit + 2
    left, right = (int(np.clip(e, 0, width)) for e in (points.real.min() - reach, points.real.max() + reach))
    top, bottom = (int(np.clip(e, 0, height)) for e in (points.imag.min() - reach, points.imag.max() + reach))
    x = (np.arange(left, right, dtype=np.float32) + 0.5)[None, None, :]
    y = (np.arange(top, bottom, dtype=np.float32) + 0.5)[None, :, None]
    nearest = np.full((points.shape[1], bottom - top, right - left), np.inf, dtype=np.float32)
    for start, end, radius in shapes:
        ax, ay = np.float32(start.real), np.float32(start.imag)
        bx, by = np.float32(end.real) - ax, np.float32(end.imag) - ay
        along = ((x - ax) * bx + (y - ay) * by) / (bx * bx + by * by + np.float32(1e-6))
        np.clip(along, 0, 1, out=along)
        gap = np.hypot(x - ax - along * bx, y - ay - along * by)
        np.minimum(nearest, gap - np.float32(radius * unit), out=nearest)
    mask = np.zeros((points.shape[1], height, width), dtype=np.float32)
    mask[:, top:bottom, left:right] = np.clip(0.5 - nearest, 0, 1)
    return mask


def _background(height, width, uniform):
    """A smooth colored pattern, float32 in 0..255, (H, W, 3), and its mean color."""
    cells = int(uniform(3, 8))
    color = uniform(20, 235, 3)
    grid = uniform(-1, 1, (cells, cells, 3)) * uniform(10, 60)
    stretch = []  # for height and width the weights that stretch the grid smoothly over the pixels; (pixels, cells)
    for pixels in (height, width):
        near = np.clip(1 - np.abs(np.linspace(0, cells - 1, pixels)[:, None] - np.arange(cells)), 0, 1)
        stretch.append(near * near * (3 - 2 * near))
    pattern = np.einsum("hr,rcx,wc->hwx", stretch[0], grid, stretch[1], optimize=True) + color
    return np.clip(pattern, 0, 255).astype(np.float32), color


def scene(
    action: str, seed: int, index: int, frames: int = 16, size: int | tuple[int, int] = 112, seconds: float = SECONDS,
    stage: float = 1.0,
) -> Scene:  # fmt: skip
    """Draw the frames of one clip. They depend on the arguments alone, and are the same on every machine up to rounding.

    Args:
        action: one of `ACTIONS` or of `MORE_ACTIONS`; ValueError for others.
        seed, index: two integers, not negative. Everything that varies is drawn from them.
        frames, seconds: how many frames, spread evenly over how many seconds.
        size: height and width of a frame in pixels, or one number for both.
        stage: the figure moves in a square in the middle of the frame. This is its side as a fraction of the shorter side
            of the frame. 0.875 leaves the border that a crop of 112 from 128 pixels removes.
    """
    if action not in ACTIONS + MORE_ACTIONS:
        raise ValueError(f"unknown action {action!r}; choose from {', '.join(ACTIONS + MORE_ACTIONS)}")
    height, width = (size, size) if isinstance(size, int) else size
    rng = np.random.default_rng([seed, index])
    uniform = rng.uniform
    t = np.arange(frames) * (seconds / frames)
    body = _skeleton(t, uniform, **_POSES[REVERSE_OF.get(action, action)](t, seconds, uniform))
    points, unit = _place(body, height, width, stage, uniform)

    border = int(0.04 * min(height, width)) + 1  # what the shaking camera may see beyond the frame
    background, background_color = _background(height + 2 * border, width + 2 * border, uniform)
    color = background_color
    while abs(np.dot(color, _BRIGHTNESS) - np.dot(background_color, _BRIGHTNESS)) < 70:
        color = uniform(0, 255, 3)
    shake = uniform(0, 0.5) * border * np.exp(2j * np.pi * (uniform(0.5, 4) * t + uniform(0, 1)))
    shake = np.round(shake.real) + 1j * np.round(shake.imag * uniform(0, 1))
    points = points + shake
    mask = _cover(points, unit, uniform(0.02, 0.032), height, width)
    pixels = np.empty((frames, height, width, 3), dtype=np.float32)
    for k, move in enumerate(shake):
        y, x = border - int(move.imag), border - int(move.real)
        pixels[k] = background[y : y + height, x : x + width]
    pixels += mask[..., None] * (color.astype(np.float32) - pixels)
    noise = int(uniform(0, 24))
    pixels += rng.integers(-noise, noise + 1, pixels.shape, dtype=np.int8)
    pixels = np.clip(pixels + 0.5, 0, 255).astype(np.uint8)

    joints = np.stack([points.real, points.imag], axis=-1).transpose(1, 0, 2)
    order = slice(None, None, -1 if action in REVERSE_OF else 1)
    return Scene(*(np.ascontiguousarray(part[order]) for part in (pixels, mask, joints)))  # torch takes no others


class StickFigures(torch.utils.data.Dataset):
    """Clips of stick figures, each with its label. They are drawn when they are asked for.

    Args:
        clips, seed: how many. Another seed gives other clips: one for training, one for testing.
        frames, size, seconds, stage: as for `scene`.
        actions: the actions, one after another; of `ACTIONS` or of `MORE_ACTIONS`.
        paired: if true, each clip of "lower arms", "stand up" and "moonwalk" is the clip before it played backwards,
            noise included. A network that pools over single frames then gets exactly half of these pairs right. It needs
            a multiple of the number of actions as `clips`, and each of the three right after its partner; else ValueError.
        transform: applied to the frames, a uint8 tensor (T, H, W, 3). Without it the frames are returned.
    """

    def __init__(
        self, clips: int, seed: int = 0, frames: int = 16, size: int | tuple[int, int] = 112, seconds: float = SECONDS,
        stage: float = 1.0, paired: bool = False, transform: Callable[[Tensor], Any] | None = None,
        actions: tuple[str, ...] = ACTIONS,
    ):  # fmt: skip
        if paired and clips % len(actions):
            raise ValueError(f"paired clips come in multiples of {len(actions)}, {clips} is none")
        for before, action in zip((None, *actions), actions):
            if paired and action in REVERSE_OF and before != REVERSE_OF[action]:
                raise ValueError(f"paired: {action!r} has to come right after {REVERSE_OF[action]!r} in {actions}")
        self.clips, self.seed, self.paired, self.transform, self.actions = clips, seed, paired, transform, actions
        self.settings = dict(frames=frames, size=size, seconds=seconds, stage=stage)

    def __len__(self) -> int:
        return self.clips

    def __getitem__(self, index: int) -> tuple[Any, int]:
        """The clip and its label, an index into `actions`."""
        if not 0 <= index < self.clips:
            raise IndexError(f"clip {index} of {self.clips}")
        label = index % len(self.actions)
        partner = index - 1 if self.paired and self.actions[label] in REVERSE_OF else index
        frames = torch.from_numpy(scene(self.actions[label], self.seed, partner, **self.settings).frames)
        return (self.transform(frames) if self.transform else frames), label
