"""The figures, explorers and exercise checks of notebook 12."""

import torch
from torch import nn
from torch.nn import functional as F

from helpers.lessons.exercises import check


def check_on_both_sides(answer):
    """Notebook 12: recordings that stand in two lists of names as UCF101 gives them."""

    def attempt():
        given = answer(
            ["v_Archery_g03_c01.avi", "v_Archery_g04_c01.avi"], ["v_Archery_g03_c02.avi", "v_Archery_g05_c01.avi"]
        )
        assert isinstance(given, set), "Return a set."
        assert given == {"v_Archery_g03"}, (
            f"Cut 1 and cut 2 of v_Archery_g03 stand on two sides; you say {given or 'nothing'}."
        )
        assert answer(["v_Bow_g01_c01.avi"], ["v_Kick_g01_c01.avi"]) == set(), (
            "g01 of another class is another recording."
        )
        assert answer(["v_A_g1_c1.avi"], ["v_A_g10_c1.avi"]) == set(), "g1 is not g10."
        assert answer(["a_c01_g02_c11.mp4"], ["a_c01_g02_c03.mp4"]) == {"a_c01_g02"}, "Cut off the last _c only."

    return check("on_both_sides", answer, attempt)


def check_accumulate(answer):
    """Notebook 12: the gradient of a whole batch, from its parts."""

    def attempt():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = nn.Sequential(
                nn.Conv3d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 5)
            )
            x, label = torch.randn(10, 3, 4, 6, 6), torch.arange(10) % 5
        sizes = []
        network.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
        for parts in (1, 2, 3, 4, 10):
            network.zero_grad()
            F.cross_entropy(network(x), label).backward()
            right = [p.grad.clone() for p in network.parameters()]
            sizes.clear()
            answer(network, x, label, parts)  # the gradients of before are still there
            assert sum(sizes) == 10 and max(sizes) <= -(-10 // parts), (
                f"With {parts} parts the network was given {sizes} clips."
            )
            for p, wanted in zip(network.parameters(), right):
                twice = torch.allclose(p.grad, 2 * wanted, atol=1e-5)
                assert not twice, "Gradients add up: set those of before to zero first."
                hint = (
                    "Weigh each part by its share of the clips." if 10 % parts else "A mean of means, each over a part."
                )
                assert torch.allclose(p.grad, wanted, atol=1e-5), f"With {parts} parts the gradient is another. {hint}"

    return check("accumulate", answer, attempt)
