"""Notebook 09: the checks of its exercises."""

import torch
from lesson_tests import exercise_tests

from helpers.lessons import train_r3d_against_r2plus1d as lesson


def order_matters(network, clip, axis=1, stay=False):
    mode = network.training
    network.eval()
    with torch.no_grad():
        forwards, backwards = network(clip[None]), network(clip.flip(axis)[None])
    if not stay:
        network.train(mode)
    return not torch.allclose(forwards, backwards, atol=1e-5)


def exactly(network, clip):
    return bool((network(clip[None]) != network(clip.flip(1)[None])).any())


test_right, test_wrong = exercise_tests(
    lesson,
    right={"check_ceiling": lambda actions, pairs: 1 - pairs / actions, "check_order_matters": order_matters},
    wrong={
        "check_ceiling": [
            (lambda actions, pairs: 0.7, "Without pairs"),
            (lambda actions, pairs: (actions - 2 * pairs) / actions, "one of every two clips can be right"),
            (lambda actions, pairs: (actions - pairs) / max(actions, 2) if actions < 11 else 0.9, "400 actions"),
        ],
        "check_order_matters": [
            (lambda network, clip: True, "A mean over single frames"),
            (lambda network, clip: False, "with 3D convolutions change"),
            (exactly, "Allow for rounding|Compare in eval mode"),
            (lambda network, clip: order_matters(network, clip, stay=True), "Put the network back"),
            (lambda network, clip: order_matters(network, clip, axis=2), "does not depend on their order|axis of time"),
            (lambda network, clip: network(clip), "ValueError: a network takes a batch"),
        ],
    },
)
