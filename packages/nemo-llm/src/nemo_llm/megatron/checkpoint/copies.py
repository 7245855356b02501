"""Copies of tensors that are to be written while training changes them."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ["Copies"]


class Copies:
    """Memory of the host that tensors are copied to; kept from one save to the next.

    Touching fresh memory takes longer than copying, so the memory is not given back. Copies of what is on a GPU are
    pinned.

    Weights and moments change in one place: the step of the optimizer. So they need not be copied before training goes
    on. A thread copies them (or the GPU does, beside its work) while the next batch runs forward and backward, and the
    optimizer's step waits until that is done (:meth:`guard`).
    """

    def __init__(self) -> None:
        self._kept: dict[Any, Tensor] = {}
        self._pending: list[tuple[Tensor, Tensor]] = []
        self._streams: list[torch.cuda.Stream] = []
        self._done = threading.Event()
        self._done.set()
        self._hooks: dict[int, Any] = {}

    def begin(self, tensors: Mapping[Any, Tensor], later: Collection[Any] = ()) -> dict[Any, Tensor]:
        """Return memory that will have copies, of ``later`` when :meth:`finish` has been called, of the others now.

        What was returned by an earlier call is written over.
        """
        self.wait()
        kept: dict[Any, Tensor] = {}
        here: dict[torch.device, torch.cuda.Stream] = {}
        for key, tensor in tensors.items():
            copy = self._kept.get(key)
            if copy is None or copy.shape != tensor.shape or copy.dtype != tensor.dtype:
                copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)
            kept[key] = copy
            if key not in later:
                copy.copy_(tensor)
            elif tensor.is_cuda:
                stream = here.get(tensor.device)
                if stream is None:
                    stream = here[tensor.device] = torch.cuda.Stream(tensor.device)
                    stream.wait_stream(torch.cuda.current_stream(tensor.device))
                with torch.cuda.stream(stream):
                    copy.copy_(tensor, non_blocking=True)
            else:
                self._pending.append((copy, tensor))
        self._kept, self._streams = kept, list(here.values())
        if self._pending or self._streams:
            self._done.clear()
        return kept

    def finish(self) -> None:
        """Copy what is left; any thread may call."""
        try:
            for copy, tensor in self._pending:
                copy.copy_(tensor)
            for stream in self._streams:
                stream.synchronize()
        finally:
            self._pending, self._streams = [], []
            self._done.set()

    def wait(self) -> None:
        """Return when everything is copied."""
        self._done.wait()

    def guard(self, optimizers: Collection[torch.optim.Optimizer]) -> None:
        """Let steps of torch's ``optimizers`` wait until everything is copied."""
        for each in optimizers:
            if id(each) not in self._hooks:
                self._hooks[id(each)] = each.register_step_pre_hook(lambda *_: self.wait())

    def release(self) -> None:
        """Give memory back, and let go of the optimizers."""
        self.wait()
        for hook in self._hooks.values():
            hook.remove()
        self._hooks, self._kept = {}, {}
