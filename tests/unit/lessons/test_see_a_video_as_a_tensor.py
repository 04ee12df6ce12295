"""Notebook 01: its figures, its explorer and the checks of its exercises."""

import bisect

import numpy as np
import torch
from lesson_tests import assert_readable, exercise_tests, noise, pictures

from helpers.lessons import see_a_video_as_a_tensor as lesson

test_right, test_wrong = exercise_tests(
    lesson,
    right={
        "check_frame_at": lambda times, moment: bisect.bisect_right(times, moment) - 1,
        "check_clip_seconds": lambda count, fps: (count - 1) / fps,
        "check_y_t_slice": lambda clip, column: clip[..., column].permute(2, 1, 0),
    },
    wrong={
        "check_frame_at": [
            (lambda times, moment: bisect.bisect_left(times, moment) - 1, "At its presentation time"),
            (
                lambda times, moment: min(range(len(times)), key=lambda k: abs(times[k] - moment)),
                "not the nearest",
            ),
            (lambda times, moment: [t > moment for t in times].index(True) - 1, "ValueError"),
            (lambda times, moment: round(moment / (times[1] - times[0]) - 0.49), "."),
        ],
        "check_clip_seconds": [
            (lambda count, fps: count / fps, "count the gaps"),
            (lambda count, fps: count - 1, "16 frames at 15"),
        ],
        "check_y_t_slice": [
            (lambda clip, column: clip[..., column], r"not \(H, T, C\)"),
            (lambda clip, column: clip[..., 0].permute(2, 1, 0), "wrong place"),
            (lambda clip, column: None, "Return a tensor"),
            (lambda clip: clip, "TypeError"),
        ],
    },
)


def test_the_sampled_moments_are_marked_over_the_frames_of_the_file():
    figure = lesson.sampling_figure([0, 0.1, 0.2, 0.3], [[0, 0.2], [0.1, 0.3]], ["even", "odd"])
    axes = figure.get_axes()[0]
    assert [line.get_xydata().tolist() for line in axes.lines] == [[[0, 0], [0.2, 0]], [[0.1, 1], [0.3, 1]]]
    assert [len(ticks.get_segments()) for ticks in axes.collections] == [4, 4]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["even", "odd"]
    assert_readable(lesson.sampling_figure(np.arange(70) / 30, [np.arange(16) / 15] * 4, ["16 frames at 15 fps"] * 4))


def marks(figure):
    """The lines on each axes, as points."""
    return [[line.get_xydata().tolist() for line in axes.lines] for axes in figure.get_axes()]


def test_a_row_is_cut_out_of_all_frames():
    frames = noise(12, height=20, width=30)
    figure = lesson.slice_figure(frames, time=5, row=7)
    frame, x_t = pictures(figure)
    assert np.array_equal(frame, frames[5]) and x_t.shape == (12, 30, 3)
    for t, x in [(0, 0), (11, 29), (3, 17)]:
        assert np.array_equal(x_t[t, x], frames[t, 7, x])
    ((across,), (now,)) = marks(figure)
    assert across[0][1] == across[1][1] == 7 and now[0][1] == now[1][1] == 5
    assert_readable(figure)


def test_a_column_is_cut_out_of_all_frames():
    frames = noise(12, height=20, width=30)
    figure = lesson.slice_figure(frames, time=5, column=11)
    frame, y_t = pictures(figure)
    assert np.array_equal(frame, frames[5]) and y_t.shape == (20, 12, 3)
    for t, y in [(0, 0), (11, 19), (3, 8)]:
        assert np.array_equal(y_t[y, t], frames[t, y, 11])
    ((down,), (now,)) = marks(figure)
    assert down[0][0] == down[1][0] == 11 and now[0][0] == now[1][0] == 5
    assert_readable(figure)


def test_x_t_slices_of_several_clips_are_side_by_side():
    clips = {"slow": noise(16), "fast": noise(8)}
    figure = lesson.x_t_slices_figure(clips, row=3)
    for axes, picture, (name, frames) in zip(figure.get_axes(), pictures(figure), clips.items(), strict=True):
        assert axes.get_title(loc="left") == name and np.array_equal(picture, frames[:, 3])
    assert_readable(figure)


def test_histograms_count_the_values_of_each_channel_before_and_after():
    frames = torch.from_numpy(noise(4))
    clip = frames.permute(3, 0, 1, 2) / 100 - 1
    figure = lesson.histograms_figure(frames, clip)
    parts = (frames, (0, 255)), (clip.permute(1, 2, 3, 0), (-2.6, 2.6))
    for axes, (values, limits) in zip(figure.get_axes(), parts, strict=True):
        for channel, outline in enumerate(axes.patches):
            counts, _ = np.histogram(values[..., channel].numpy(), bins=64, range=limits)
            assert np.array_equal(outline.get_xy()[1:-1:2, 1], counts)
        assert [outline.get_label() for outline in axes.patches] == ["red", "green", "blue"]
    assert_readable(figure)
