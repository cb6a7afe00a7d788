"""Count the bytes of live tensors while a part of the model runs, on any device, torch's meta device too.

Called by the footprint and by the benchmark.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary


@torch.no_grad()
def live_bytes(module: nn.Module, call: Callable[[], object]) -> int:
    """The most bytes that tensors other than ``module``'s own weights take at once during ``call``."""
    counter = _WithConvolutions(
        kept for tensor in (*module.parameters(), *module.buffers()) for kept in stored_tensors(tensor)
    )
    with counter, FusedAttention():
        call()
    return counter.peak


def stored_tensors(tensor: Tensor) -> Iterator[Tensor]:
    """The tensor itself, or the parts that a quantised one is kept as."""
    flatten = getattr(tensor, "__tensor_flatten__", None)
    if flatten is None:
        yield tensor
        return
    names, _ = flatten()
    for part in (getattr(tensor, name) for name in names):
        yield from stored_tensors(part)


class FusedAttention(TorchFunctionMode):
    """Attention as the fused kernels of GPUs and CPUs do it: without a matrix of all pairs, unlike the meta device."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is functional.scaled_dot_product_attention:
            query, _key, value = args[:3]
            return query.new_zeros((*query.shape[:-1], value.shape[-1]))
        return func(*args, **(kwargs or {}))


class LiveBytes(TorchDispatchMode):
    """Counts storages from the operation that makes them to their end: ``live`` bytes now, ``peak`` at most.

    ``uncounted`` are tensors that were there before.
    """

    def __init__(self, uncounted: Iterable[Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = 0
        self._known: WeakIdKeyDictionary = WeakIdKeyDictionary()
        for tensor in uncounted:
            self._known[tensor.untyped_storage()] = True

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and self.counts(leaf):
                self._count(leaf.untyped_storage())
        return result

    def counts(self, tensor: Tensor) -> bool:
        """True where a new tensor is counted; here every one is."""
        return True

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage in self._known:
            return
        self._known[storage] = True
        size = storage.nbytes()
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._release, size)

    def _release(self, size: int) -> None:
        self.live -= size


class _WithConvolutions(LiveBytes):
    """A convolution takes its input and output once more: cuDNN's kernels for tensor cores lay both out anew."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = super().__torch_dispatch__(func, types, args, kwargs)
        if func is torch.ops.aten.convolution.default:
            self.peak = max(self.peak, self.live + args[0].nbytes + result.nbytes)
        return result
