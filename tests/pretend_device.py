"""A second device for machines without one: tensors that say they are on "meta", but hold values.

Inside `PretendDevice()` whatever is moved to, or made on, the device "meta" is computed on the CPU
behind a tensor that calls itself a meta tensor. Like a GPU it refuses to mix its tensors with the
CPU's, and it knows the most bytes that it held at a time.
"""

from __future__ import annotations

import weakref

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("meta")


class _There(torch.Tensor):
    """A tensor of the device; `held` is its values, on the CPU."""

    @staticmethod
    def __new__(cls, held: torch.Tensor):
        with torch.inference_mode(False):
            there = torch.Tensor._make_wrapper_subclass(
                cls, held.shape, dtype=held.dtype, device=DEVICE, strides=held.stride(),
                storage_offset=held.storage_offset(),
            )  # fmt: skip
        there.held = held
        return there

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        raise RuntimeError(f"{function}: the device is gone")


class _MadeHere(TorchFunctionMode):
    """`torch.tensor(…, device=…)` dispatches nothing: make it on the CPU and move it."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if function is torch.tensor and torch.device(kwargs.get("device") or "cpu") == DEVICE:
            return function(*args, **{**kwargs, "device": "cpu"}).to(DEVICE)
        return function(*args, **kwargs)


class PretendDevice(TorchDispatchMode):
    """Attributes: most, the most bytes held at a time; operations, how many ran there."""

    def __init__(self) -> None:
        super().__init__()
        self.most = self.operations = 0
        self._storages: dict[int, list[int]] = {}  # [bytes, how many tensors share them]
        self._made_here = _MadeHere()

    def __enter__(self):
        self._made_here.__enter__()
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self._made_here.__exit__(*error)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        leaves = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, torch.Tensor)]
        there = {id(x.held): x for x in leaves if isinstance(x, _There)}
        copies = function is torch.ops.aten.copy_.default
        moves = copies or function is torch.ops.aten._to_copy.default
        # A GPU, too, takes single numbers from the CPU.
        if there and not moves and any(x.ndim for x in leaves if not isinstance(x, _There)):
            raise RuntimeError(f"{function}: expected all tensors to be on the same device")
        target = kwargs.get("device")
        stays = isinstance(args[0], _There) if copies else bool(there)
        on_device = stays if target is None else torch.device(target) == DEVICE
        if target is not None:
            kwargs["device"] = torch.device("cpu")
        args, kwargs = tree_map(lambda x: x.held if isinstance(x, _There) else x, (args, kwargs))
        result = function(*args, **kwargs)
        if not on_device:
            return result
        self.operations += 1
        return tree_map(lambda x: self._put(x, there) if isinstance(x, torch.Tensor) else x, result)

    def _put(self, held: torch.Tensor, there: dict[int, _There]) -> _There:
        if id(held) in there:  # changed in place
            return there[id(held)]
        tensor, storage = _There(held), held.untyped_storage()
        key = storage._cdata
        self._storages.setdefault(key, [storage.nbytes(), 0])[1] += 1
        self.most = max(self.most, sum(size for size, _ in self._storages.values()))
        weakref.finalize(tensor, self._release, key)
        return tensor

    def _release(self, key: int) -> None:
        self._storages[key][1] -= 1
        if not self._storages[key][1]:
            del self._storages[key]
