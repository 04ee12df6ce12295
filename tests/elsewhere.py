"""A device that is none: a pytest plugin with which the tests of devices run on a machine without a GPU.

    python -m pytest -p elsewhere tests/unit/test_devices.py

PyTorch lets a Python module be a device. This one computes on the CPU, with the CPU's numbers, but its tensors say that they
are on the device `elsewhere`, and like on a GPU an operation that is given tensors of both devices is an error. So a forgotten
`.to(device)` is seen. What it cannot show: autocast changes no precision here, nothing is asynchronous, and there are no
kernels of a GPU. A process that has registered the device keeps it: the plugin belongs in a process of its own.
"""

import contextlib

import pytest
import torch
from torch.utils import _pytree, backend_registration
from torch.utils._python_dispatch import TorchDispatchMode

NAME = "elsewhere"
DEVICE = torch.device("privateuseone:0")
MIXING = {"aten::copy_", "aten::index", "aten::index_put_"}  # as on a GPU: to copy, and indices that are on the CPU
AUTOCAST = torch.library.Library("_", "IMPL", "AutocastPrivateUse1")


class Elsewhere(torch.Tensor):
    """A tensor that is on the device: it wraps the one on the CPU that holds its numbers."""

    @staticmethod
    def __new__(cls, inside):
        layout = dict(strides=inside.stride(), storage_offset=inside.storage_offset(), dtype=inside.dtype)
        return torch.Tensor._make_wrapper_subclass(cls, inside.shape, **layout, device=DEVICE)

    def __init__(self, inside):
        self.inside = inside

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        return compute(operation, args, kwargs or {})

    def tolist(self):
        return self.inside.tolist()

    def numpy(self, *_, **__):
        raise TypeError("can't convert a tensor that is elsewhere to numpy: call cpu() first")

    def __reduce_ex__(self, protocol):  # a saved tensor is one of the CPU, as our checkpoints are loaded
        return self.inside.__reduce_ex__(protocol)


def compute(operation, args, kwargs):
    """The operation on the CPU; its results are elsewhere if its arguments are, or if it was told so."""
    tensors = [x for x in _pytree.tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
    there = [x for x in tensors if isinstance(x, Elsewhere)]
    name = operation._schema.name
    if name == "aten::_has_compatible_shallow_copy_type":  # asked before a parameter is moved in place
        return False
    if there and name not in MIXING and any(x.ndim for x in tensors if not isinstance(x, Elsewhere)):
        raise RuntimeError(f"{name} was given tensors on two devices, cpu and {NAME}")
    result = operation(*_pytree.tree_map(to_cpu, args), **_pytree.tree_map(to_cpu, kwargs))
    target = kwargs.get("device")
    if name in MIXING:
        there = [x for x in there if x is args[0]]
    if (torch.device(target).type != NAME) if target is not None else not there:
        return result
    wrappers = {id(x.inside): x for x in there}  # what is changed in place stays the same tensor
    wrap = lambda x: wrappers.get(id(x)) if id(x) in wrappers else Elsewhere(x)  # noqa: E731
    return _pytree.tree_map_only(torch.Tensor, wrap, result)


def to_cpu(x):
    if isinstance(x, Elsewhere):
        return x.inside
    return torch.device("cpu") if isinstance(x, torch.device) and x.type == NAME else x


class Everywhere(TorchDispatchMode):
    """Lets `torch.zeros(2, device="elsewhere")` and `x.to("elsewhere")` make tensors of the device."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        return compute(operation, args, kwargs or {})


class Backend:
    """What PyTorch asks the module `torch.elsewhere`; its random numbers are those of the CPU."""

    is_initialized = is_available = staticmethod(lambda: True)
    _is_in_bad_fork = staticmethod(lambda: False)
    current_device, device_count = staticmethod(lambda: 0), staticmethod(lambda: 1)
    manual_seed = manual_seed_all = staticmethod(lambda seed: None)
    get_rng_state = staticmethod(lambda device=None: torch.zeros(1))
    set_rng_state = staticmethod(lambda state, device=None: None)
    get_amp_supported_dtype = staticmethod(lambda: [torch.bfloat16, torch.float16])
    device = staticmethod(lambda device=None: contextlib.nullcontext())


def pytest_configure():
    """Register the device, for this process and for good."""
    backend_registration._setup_privateuseone_for_python_backend(NAME, Backend())
    torch.accelerator.synchronize = lambda device=None: None
    AUTOCAST.fallback(torch.library.fallthrough_kernel)  # it casts nothing


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    with Everywhere():
        return (yield)
