"""A second device for machines without one: its tensors claim to be on "meta" but hold values.

Inside `PretendDevice()`, tensors that are moved to the device "meta" or made on it are computed on
the CPU. Like a GPU, the device refuses to mix its tensors with those of the CPU. It records its
peak memory, and when Python would have to wait for a GPU: to read a value, for a shape that depends
on values, and for a tensor that is copied back.
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


class _DeviceTensor(torch.Tensor):
    """A tensor on the device. `held` holds its values, on the CPU."""

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
        raise RuntimeError(f"{function}: used outside of PretendDevice")


def _to_cpu(value):
    if isinstance(value, _DeviceTensor):
        return value.held
    return torch.device("cpu") if isinstance(value, torch.device) else value


class _UndispatchedCalls(TorchFunctionMode):
    """Redirects calls that dispatch no operation, torch.tensor and tolist, through the CPU."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if function is torch.Tensor.tolist and isinstance(args[0], _DeviceTensor):
            return args[0].to("cpu").tolist()
        if function is torch.tensor and torch.device(kwargs.get("device") or "cpu") == DEVICE:
            return function(*args, **{**kwargs, "device": "cpu"}).to(DEVICE)
        return function(*args, **kwargs)


class PretendDevice(TorchDispatchMode):
    """A device that exists inside the `with` block.

    Attributes:
        peak: the most bytes held at any time.
        operations: number of operations that ran there.
        waits: how often Python had to wait for a value, or for a shape that depends on values.
        copied_back: bytes of each tensor that was copied to the CPU. Python waits for these, too.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak = self.operations = self.waits = 0
        self.copied_back: list[int] = []
        self._storages: dict[int, list[int]] = {}  # [bytes, number of tensors that share them]
        self._undispatched_calls = _UndispatchedCalls()

    def __enter__(self):
        self._undispatched_calls.__enter__()
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self._undispatched_calls.__exit__(*error)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        leaves, structure = tree_flatten((args, kwargs or {}))
        tensors = [x for x in leaves if isinstance(x, torch.Tensor)]
        there = {id(x.held): x for x in tensors if isinstance(x, _DeviceTensor)}
        if there and function is aten._has_compatible_shallow_copy_type.default:
            return False  # so that a module replaces its parameters when it moves
        asked = [x for x in leaves if isinstance(x, torch.device)]
        if asked:
            on_device = asked[0] == DEVICE
        elif function is aten.to.other:
            on_device = isinstance(args[1], _DeviceTensor)
        elif function is aten.copy_.default:
            on_device = isinstance(args[0], _DeviceTensor)
        else:
            on_device = bool(there)
            # A GPU takes single numbers from the CPU, too.
            if there and any(x.ndim for x in tensors if not isinstance(x, _DeviceTensor)):
                places = [(type(x).__name__, list(x.shape)) for x in tensors]
                raise RuntimeError(f"{function}: not all tensors are on the same device: {places}")
        args, kwargs = tree_unflatten([_to_cpu(x) for x in leaves], structure)
        result = function(*args, **kwargs)
        if there and not on_device:
            self.copied_back.append(result.nbytes)
        masked = function in (aten.index.Tensor, aten.index_put_.default) and any(
            x is not None and x.dtype == torch.bool for x in args[1]
        )
        self.waits += bool(there) and (function in WAITED_FOR or masked)
        if not on_device:
            return result
        self.operations += 1
        return tree_map(lambda x: self._put(x, there) if isinstance(x, torch.Tensor) else x, result)

    def _put(self, held: torch.Tensor, there: dict[int, _DeviceTensor]) -> _DeviceTensor:
        if id(held) in there:  # changed in place
            return there[id(held)]
        tensor, storage = _DeviceTensor(held), held.untyped_storage()
        key = storage._cdata
        self._storages.setdefault(key, [storage.nbytes(), 0])[1] += 1
        self.peak = max(self.peak, sum(size for size, _ in self._storages.values()))
        weakref.finalize(tensor, self._release, key)
        return tensor

    def _release(self, key: int) -> None:
        self._storages[key][1] -= 1
        if not self._storages[key][1]:
            del self._storages[key]
