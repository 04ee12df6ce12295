"""How an exercise is checked: many cases, one hint at a time; and how one module is held against another.

A check prints a sentence and returns whether the answer is right. It never raises, so that a notebook with unsolved
exercises still runs from top to bottom.
"""

import torch
from torch import nn


def check(name, answer, attempt):
    """Run `attempt`, which raises AssertionError with a hint, and say how it went."""
    if answer is None:
        print(f"{name}: not yet. Write the function, then run this cell again.")
        return False
    try:
        attempt()
    except AssertionError as hint:
        print(f"{name}: not yet. {hint}")
    except Exception as error:  # the reader's own code may fail in any way
        print(f"{name}: not yet. It raised {type(error).__name__}: {error}")
    else:
        print(f"{name}: right.")
        return True
    return False


def same_layers(mine, theirs, clip):
    """Hold a module against another one: keys, shapes, then what both make of a clip with the same random weights."""
    assert isinstance(mine, nn.Module), "Return a torch.nn.Module."
    keys, expected = mine.state_dict(), theirs.state_dict()
    missing, extra = (
        [key for key in some if key not in others] for some, others in ((expected, keys), (keys, expected))
    )
    instead = f" It has {extra[0]}, which torchvision's has not: count the layers, each ReLU is one." if extra else ""
    assert not missing, f"Its state dict has no {missing[0]}.{instead}{_complete(theirs, keys)}"
    assert not extra, f"Its state dict has {extra[0]}, which torchvision's has not."
    for key, value in expected.items():
        assert keys[key].shape == value.shape, f"{key} is {tuple(keys[key].shape)}, not {tuple(value.shape)}."
    _randomise(theirs)
    mine.load_state_dict(theirs.state_dict())
    for train, what in ((False, "in eval mode"), (True, "in train mode")):
        right, wanted = _trace(theirs.train(train), clip)
        given, seen = _trace(mine.train(train), clip)
        assert isinstance(given, torch.Tensor), f"It raised {type(given).__name__}: {given}.{_difference(seen, wanted)}"
        assert given.shape == right.shape, (
            f"It gives {tuple(given.shape)}, not {tuple(right.shape)}.{_difference(seen, wanted)}"
        )
        assert close(given, right), (
            f"Keys and shapes are right, but with the same weights it gives other numbers {what}.{_difference(seen, wanted)}"
        )


def _complete(network, keys):
    """Which parts of a network have all of their keys already, as a sentence."""
    parts = [name for name, part in network.named_children() if part.state_dict()]
    done = [name for name in parts if all(f"{name}.{key}" in keys for key in getattr(network, name).state_dict())]
    return f" Complete are: {', '.join(done)}." if done else ""


def close(given, right, share=1e-4):
    return given.shape == right.shape and torch.allclose(given, right, atol=share * right.abs().max().item())


def _trace(network, clip):
    """What a network gives, or the error that it raises; and what went into each named module and came out, in that order."""
    went_in, seen, hooks = {}, {}, []

    def before(name):
        def hook(module, inputs):
            if inputs and isinstance(inputs[0], torch.Tensor):
                went_in.setdefault(name, inputs[0].clone())  # a ReLU in place may write over it

        return hook

    def after(name):
        def hook(module, inputs, output):
            if name in went_in and isinstance(output, torch.Tensor):
                seen.setdefault(name, (went_in[name], output.clone()))

        return hook

    for name, module in network.named_modules():
        if name:
            hooks += module.register_forward_pre_hook(before(name)), module.register_forward_hook(after(name))
    try:
        with torch.no_grad():
            return network(clip.clone()), seen
    except Exception as error:  # the reader's own code may fail in any way
        return error, seen
    finally:
        for hook in hooks:
            hook.remove()


def _difference(seen, wanted):
    """Where two traces part for the first time, as a sentence."""
    for name in (name for name in wanted if name in seen):
        for k, what in enumerate(("goes into", "comes out of")):
            given, right = seen[name][k], wanted[name][k]
            if given.shape != right.shape:
                return f" The first difference: what {what} {name} is {tuple(given.shape)}, not {tuple(right.shape)}."
            if not close(given, right):
                inside = any(other.startswith(f"{name}.") for other in wanted)
                cause = "is something before it missing, or too much: a ReLU, a norm, a sum, a dropout?"
                if k == 1:
                    cause = (
                        "what it is made of agrees; is a ReLU or a sum missing?"
                        if inside
                        else "its stride, its padding, its eps?"
                    )
                return f" The first difference is in what {what} {name}: {cause}"
    return " All named layers agree up to there: look at what comes between them or after the last."


def _randomise(network):
    """Give every batch norm random weights and statistics, so that none of them can be left out unnoticed."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            for values in (module.weight.data, module.running_var):
                values.uniform_(0.5, 1.5, generator=generator)
            for values in (module.bias.data, module.running_mean):
                values.uniform_(-0.5, 0.5, generator=generator)
