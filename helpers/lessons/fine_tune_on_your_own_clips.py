"""The exercise checks of notebook 12."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from helpers.lessons.exercises import exercise, require

__all__ = ["check_accumulate", "check_on_both_sides"]


@exercise
def check_on_both_sides(solution: Callable) -> None:
    """Notebook 12: the groups with clips in two lists of names, which are named as in UCF101."""
    training = ["v_Archery_g03_c01.avi", "v_Archery_g04_c01.avi"]
    groups = solution(training, ["v_Archery_g03_c02.avi", "v_Archery_g05_c01.avi"])
    require(isinstance(groups, set), "Return a set.")
    hint = f"Clips 1 and 2 of v_Archery_g03 are in different lists; you return {groups or 'nothing'}."
    require(groups == {"v_Archery_g03"}, hint)
    hint = "g01 of another class is another group."
    require(solution(["v_Bow_g01_c01.avi"], ["v_Kick_g01_c01.avi"]) == set(), hint)
    require(solution(["v_A_g1_c1.avi"], ["v_A_g10_c1.avi"]) == set(), "g1 is not g10.")
    require(solution(["a_c01_g02_c11.mp4"], ["a_c01_g02_c03.mp4"]) == {"a_c01_g02"}, "Cut off only the last _c.")


@exercise
def check_accumulate(solution: Callable) -> None:
    """Notebook 12: the gradient of a whole batch, from its parts."""
    network = nn.Sequential(nn.Conv3d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 5))
    x, label = torch.randn(10, 3, 4, 6, 6), torch.arange(10) % 5
    sizes = []
    network.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    for parts in (1, 2, 3, 4, 10):
        network.zero_grad()
        F.cross_entropy(network(x), label).backward()
        right = [p.grad.clone() for p in network.parameters()]
        sizes.clear()
        solution(network, x, label, parts)  # the earlier gradients are still there
        hint = f"With {parts} parts the network got {sizes} clips."
        require(sum(sizes) == 10 and max(sizes) <= -(-10 // parts), hint)
        for p, expected in zip(network.parameters(), right):
            twice = torch.allclose(p.grad, 2 * expected, atol=1e-5)
            require(not twice, "Gradients add up: set the earlier ones to zero first.")
            hint = "Weigh each part by its fraction of the clips." if 10 % parts else "Average the means of the parts."
            same = torch.allclose(p.grad, expected, atol=1e-5)
            require(same, f"With {parts} parts the gradient is different. {hint}")
