"""How an exercise is checked: many cases, one hint at a time. And how a module is compared with a reference module.

A check prints a sentence and returns whether the solution is right. It never raises, so that a notebook with unsolved
exercises still runs from top to bottom.
"""

import functools
from collections.abc import Callable

import torch
from torch import nn

from helpers.blocks import randomize_batchnorm_

__all__ = ["close", "exercise", "require", "same_layers"]

Trace = dict[str, tuple[torch.Tensor, torch.Tensor]]  # for each layer its input and its output


class _NotYet(Exception):
    """A solution is wrong; the message is the hint. `assert` would be skipped under `python -O`."""


def require(condition: bool, hint: str) -> None:
    """Go on if a condition holds. If not, end the check with a hint."""
    if not condition:
        raise _NotYet(hint)


def exercise(check: Callable) -> Callable[[Callable | None], bool]:
    """Make a check of a function `check_<name>`, which calls `require`.

    Random numbers on the CPU are the same in every check, and the reader's random state is left as it was.
    """
    name = check.__name__.removeprefix("check_")

    @functools.wraps(check)
    def checked(solution: Callable | None) -> bool:
        if solution is None:
            print(f"{name}: not yet. Write the function, then run this cell again.")
            return False
        try:
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(0)  # torch.manual_seed would also seed the GPUs
                check(solution)
        except _NotYet as hint:
            print(f"{name}: not yet. {hint}")
        except Exception as error:  # the reader's function may fail in any way
            print(f"{name}: not yet. It raised {type(error).__name__}: {error}")
        else:
            print(f"{name}: right.")
            return True
        return False

    return checked


def close(actual: torch.Tensor, expected: torch.Tensor, tolerance: float = 1e-4) -> bool:
    """Whether two tensors have one shape and differ by at most a fraction of the largest expected value."""
    limit = tolerance * expected.abs().max().item()
    return actual.shape == expected.shape and torch.allclose(actual, expected, atol=limit)


def same_layers(module: nn.Module, reference: nn.Module, clip: torch.Tensor) -> None:
    """Require that a module has the keys and shapes of a reference, and with the same weights the same outputs."""
    require(isinstance(module, nn.Module), "Return a torch.nn.Module.")
    keys, expected = module.state_dict(), reference.state_dict()
    missing, extra = ([key for key in a if key not in b] for a, b in ((expected, keys), (keys, expected)))
    if missing:
        instead = (
            f" It has {extra[0]}, which is not in torchvision's: count the layers, each ReLU is one." if extra else ""
        )
        require(False, f"Its state dict has no {missing[0]}.{instead}{_complete_parts(reference, keys)}")
    require(not extra, f"Its state dict has {extra[0] if extra else ''}, which is not in torchvision's.")
    for key, value in expected.items():
        shapes = tuple(keys[key].shape), tuple(value.shape)
        require(shapes[0] == shapes[1], f"{key} is {shapes[0]}, not {shapes[1]}.")
    randomize_batchnorm_(reference)  # fresh batch norms do almost nothing: nobody would notice one that is missing
    module.load_state_dict(reference.state_dict())
    for train in (False, True):
        right, right_trace = _trace(reference.train(train), clip)
        output, trace = _trace(module.train(train), clip)
        difference = _first_difference(trace, right_trace)
        if isinstance(output, Exception):
            require(False, f"It raised {type(output).__name__}: {output}.{difference}")
        require(isinstance(output, torch.Tensor), "Its output is no tensor.")
        require(output.shape == right.shape, f"It gives {tuple(output.shape)}, not {tuple(right.shape)}.{difference}")
        hint = "Keys and shapes are right, but with the same weights it gives other numbers in"
        require(close(output, right), f"{hint} {'train' if train else 'eval'} mode.{difference}")


def _complete_parts(network: nn.Module, keys: dict) -> str:
    """A sentence that names the parts of a network of which all keys are there."""
    states = {name: part.state_dict() for name, part in network.named_children()}
    complete = [name for name, state in states.items() if state and all(f"{name}.{key}" in keys for key in state)]
    return f" Complete are: {', '.join(complete)}." if complete else ""


def _trace(network: nn.Module, clip: torch.Tensor) -> tuple[torch.Tensor | Exception, Trace]:
    """The output of a network, or the error that it raises; and what went into each layer and came out, in this order."""
    inputs, trace, hooks = {}, {}, []

    def before(name, module, arguments):
        if arguments and isinstance(arguments[0], torch.Tensor):
            inputs.setdefault(name, arguments[0].clone())  # a ReLU in place may overwrite it

    def after(name, module, arguments, output):
        if name in inputs and isinstance(output, torch.Tensor):
            trace.setdefault(name, (inputs[name], output.clone()))

    for name, module in network.named_modules():
        if name:
            hooks.append(module.register_forward_pre_hook(functools.partial(before, name)))
            hooks.append(module.register_forward_hook(functools.partial(after, name)))
    try:
        with torch.no_grad():
            return network(clip.clone()), trace
    except Exception as error:  # the reader's module may fail in any way
        return error, trace
    finally:
        for hook in hooks:
            hook.remove()


def _first_difference(trace: Trace, right_trace: Trace) -> str:
    """A sentence that says where two traces differ first."""
    for name in (name for name in right_trace if name in trace):
        for k, what in enumerate(("goes into", "comes out of")):
            actual, right = trace[name][k], right_trace[name][k]
            if actual.shape != right.shape:
                return f" The first difference: what {what} {name} is {tuple(actual.shape)}, not {tuple(right.shape)}."
            if close(actual, right):
                continue
            if k == 0:
                cause = "is something missing before it, or too much: a ReLU, a batch norm, a sum, a dropout?"
            elif any(other.startswith(f"{name}.") for other in right_trace):
                cause = "its layers agree; is a ReLU or a sum missing?"
            else:
                cause = "its stride, its padding, its eps?"
            return f" The first difference is in what {what} {name}: {cause}"
    return " All named layers agree up to there: look at what comes between them or after the last."
