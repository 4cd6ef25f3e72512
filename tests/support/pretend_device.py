"""A second device for machines without one: tensors that say they are on "meta", but hold values.

Inside `PretendDevice()` whatever is moved to, or made on, the device "meta" is computed on the CPU
behind a tensor that calls itself a meta tensor. Like a GPU it refuses to mix its tensors with the
CPU's, and it knows the most bytes that it held at a time. It also knows what a GPU must be waited
for: values that Python reads, shapes that depend on values, and bytes that are brought back.
"""

from __future__ import annotations

import weakref

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

DEVICE = torch.device("meta")

aten = torch.ops.aten
WAITED_FOR = {
    aten._local_scalar_dense.default, aten.is_nonzero.default, aten.equal.default,
    aten.nonzero.default, aten.masked_select.default, aten._unique2.default,
}  # fmt: skip


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


def _on_cpu(value):
    if isinstance(value, _There):
        return value.held
    return torch.device("cpu") if isinstance(value, torch.device) else value


class _NotDispatched(TorchFunctionMode):
    """Making a tensor, or listing its values, dispatches nothing: both go through the CPU."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if function is torch.Tensor.tolist and isinstance(args[0], _There):
            return args[0].to("cpu").tolist()
        if function is torch.tensor and torch.device(kwargs.get("device") or "cpu") == DEVICE:
            return function(*args, **{**kwargs, "device": "cpu"}).to(DEVICE)
        return function(*args, **kwargs)


class PretendDevice(TorchDispatchMode):
    """A device that lasts as long as the block.

    Attributes:
        most: the most bytes held at a time.
        operations: how many ran there.
        waits: how often Python had to wait for a value, or a shape that depends on values.
        brought_back: bytes of each tensor that was copied to the CPU, for which it waits as well.
    """

    def __init__(self) -> None:
        super().__init__()
        self.most = self.operations = self.waits = 0
        self.brought_back: list[int] = []
        self._storages: dict[int, list[int]] = {}  # [bytes, how many tensors share them]
        self._not_dispatched = _NotDispatched()

    def __enter__(self):
        self._not_dispatched.__enter__()
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self._not_dispatched.__exit__(*error)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        leaves, structure = tree_flatten((args, kwargs or {}))
        tensors = [x for x in leaves if isinstance(x, torch.Tensor)]
        there = {id(x.held): x for x in tensors if isinstance(x, _There)}
        if there and function is aten._has_compatible_shallow_copy_type.default:
            return False  # a module that moves then replaces its parameters
        asked = [x for x in leaves if isinstance(x, torch.device)]
        if asked:
            on_device = asked[0] == DEVICE
        elif function is aten.to.other:
            on_device = isinstance(args[1], _There)
        elif function is aten.copy_.default:
            on_device = isinstance(args[0], _There)
        else:
            on_device = bool(there)
            # A GPU, too, takes single numbers from the CPU.
            if there and any(x.ndim for x in tensors if not isinstance(x, _There)):
                places = [(type(x).__name__, list(x.shape)) for x in tensors]
                raise RuntimeError(f"{function}: not all tensors are on the same device: {places}")
        args, kwargs = tree_unflatten([_on_cpu(x) for x in leaves], structure)
        result = function(*args, **kwargs)
        if there and not on_device:
            self.brought_back.append(result.nbytes)
        masked = function in (aten.index.Tensor, aten.index_put_.default) and any(
            x is not None and x.dtype == torch.bool for x in args[1]
        )
        self.waits += bool(there) and (function in WAITED_FOR or masked)
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
