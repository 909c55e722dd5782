"""Flat lists of tensors and back: what crosses the door of the chunk loop's operator.

An operator takes and returns plain tensors; a rule's state and tokens are trees. `Wire` fixes the
order of the leaves once per rule, so that both sides agree without names at run time.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from tensordict import TensorDict
from torch import Tensor

from memory_rules import AbstractGradientRule, Inputs, Rates, State
from playground.compile.lowering.chunk import Carry, Leaves, Tokens
from playground.compile.lowering.gating import Gating


@dataclass(frozen=True, kw_only=True)
class Wire:
    """The order of leaves for one rule: names of matrices and slow vectors, mask or none."""

    rule: AbstractGradientRule
    names: tuple[str, ...]
    slow: tuple[str, ...]
    masked: bool
    compiled: bool = False

    @property
    def gating(self) -> Gating:
        """How the gates become filters."""
        rule = self.rule
        return Gating(
            names=self.names,
            momentum=rule.has_momentum,
            channelwise=rule.side != "scalar",
            lags=rule.window,
            compiled=self.compiled,
        )

    @property
    def starts(self) -> tuple[str, ...]:
        return self.names if self.rule.decay_towards == "start" else ()

    @property
    def anchors(self) -> tuple[str, ...]:
        return self.names if self.rule.chunked else ()

    @property
    def duals(self) -> tuple[str, ...]:
        return self.names if self.rule.nonlinear_close else ()

    # the carry of a chunk

    def carry_list(self, carry: Carry) -> list[Tensor]:
        """joint, then dual."""
        return [carry.joint[n] for n in self.names] + [carry.dual[n] for n in self.duals]

    def carry_of(self, tensors: Iterator[Tensor]) -> Carry:
        joint = {n: next(tensors) for n in self.names}
        return Carry(joint=joint, dual={n: next(tensors) for n in self.duals})

    def open_list(self, carry: Carry) -> list[Tensor]:
        """What a chunk in progress adds: anchor, drafts, kept."""
        assert carry.anchor is not None and carry.drafts is not None
        found = [carry.anchor[n] for n in self.anchors]
        found += [draft[n] for draft in carry.drafts for n in self.names]
        return found + ([carry.kept[n] for n in self.duals] if carry.kept is not None else [])

    def open_of(self, carry: Carry, tensors: Iterator[Tensor]) -> Carry:
        carry.anchor = {n: next(tensors) for n in self.anchors}
        carry.drafts = [{n: next(tensors) for n in self.names} for _ in range(self.rule.passes)]
        carry.kept = {n: next(tensors) for n in self.duals} if self.duals else None
        return carry

    def fixed_of(self, tensors: Iterator[Tensor]) -> tuple[Leaves, Leaves]:
        start = {n: next(tensors) for n in self.starts}
        return start, {n: next(tensors) for n in self.slow}

    # the tokens

    def tokens_list(self, inputs: Inputs, rates: Rates, state: State) -> list[Tensor]:
        """q, k, v [B, T, H, d]; stacked scalar gates [G, B, T, H]; channel gates, window, mask."""
        dtype = next(iter(state.memory.values())).dtype
        q, k, v = (t.to(dtype) for t in (inputs.q, inputs.k, inputs.v))
        mask = inputs.mask
        if self.rule.window > 1:
            k = torch.cat([state.recent["k"].transpose(1, 2), k], 1)
            v = torch.cat([state.recent["v"].transpose(1, 2), v], 1)
            live = torch.ones_like(inputs.k[:, :, 0, 0], dtype=torch.bool)
            mask = torch.cat([state.recent["live"], live if mask is None else mask], 1)
        wide = self.gating.channelwise
        groups = [rates.lr, None if wide else rates.keep, rates.momentum]
        stacked = [group[n] for group in groups if group is not None for n in self.names]
        found = [q, k, v, torch.stack(stacked).to(dtype)]
        if wide:
            found += [rates.keep[n].to(dtype) for n in self.names]
        if rates.window is not None:
            found += [rates.window[n].to(dtype) for n in self.names]
        return found if mask is None else [*found, mask]

    def tokens_of(self, tensors: Iterator[Tensor]) -> Tokens:
        """One chunk from q, k, v [B, H, C, d] and its flat filters."""
        q, k, v, *flat = tensors
        return Tokens(q=q, k=k, v=v, filters=self.gating.filters(flat))

    # the state

    def state_lists(self, state: State) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Carry, open parts, and fixed parts (start, slow) of a state."""
        recent = state.recent
        joint = self._joint(state.memory, state.momentum)
        dual = {n: recent["dual", n] for n in self.duals}
        carry = Carry(joint=joint, dual=dual)
        carry.anchor = {n: state.anchor[n] for n in self.anchors}
        drafts = [recent[f"draft{level}"] for level in range(self.rule.passes)]
        carry.drafts = [self._joint(d["memory"], d["momentum"]) for d in drafts]
        carry.kept = {n: recent["kept", n] for n in self.duals} if self.duals else None
        fixed = [state.start[n] for n in self.starts] + [state.slow[n] for n in self.slow]
        return self.carry_list(carry), self.open_list(carry), fixed

    def _joint(self, memory: TensorDict, momentum: TensorDict) -> Leaves:
        if not self.rule.has_momentum:
            return {n: memory[n] for n in self.names}
        return {n: torch.cat([memory[n], momentum[n]], -2) for n in self.names}

    def _parts(self, joint: Leaves, like: State) -> tuple[TensorDict, TensorDict]:
        size = like.batch_size
        if not self.rule.has_momentum:
            return TensorDict(joint, batch_size=size), TensorDict({}, batch_size=size)
        halves = {n: w.chunk(2, -2) for n, w in joint.items()}
        memory = TensorDict({n: h[0] for n, h in halves.items()}, batch_size=size)
        return memory, TensorDict({n: h[1] for n, h in halves.items()}, batch_size=size)

    def state_of(self, carry: Carry, state: State, inputs: Inputs) -> State:
        """The state after the tokens, from the carry after them."""
        size = state.batch_size
        memory, momentum = self._parts(carry.joint, state)
        recent = state.recent.clone(recurse=False)
        if self.duals:
            recent["dual"] = TensorDict(carry.dual, batch_size=size)
            assert carry.kept is not None
            recent["kept"] = TensorDict(carry.kept, batch_size=size)
        for level, draft in enumerate(carry.drafts or []):
            parts = dict(zip(("memory", "momentum"), self._parts(draft, state), strict=True))
            recent[f"draft{level}"] = TensorDict(parts, batch_size=size)
        if self.rule.window > 1:
            recent = _shift(recent, inputs, self.rule.window - 1)
        assert carry.anchor is not None
        return state.replace(
            memory=memory,
            momentum=momentum,
            recent=recent,
            anchor=TensorDict(carry.anchor, batch_size=size),
            position=state.position + inputs.batch_size[1],
        )


def _shift(recent: TensorDict, inputs: Inputs, lags: int) -> TensorDict:
    live = torch.ones_like(inputs.k[:, :, 0, 0], dtype=torch.bool)
    live = live if inputs.mask is None else inputs.mask
    for name, t in (("k", inputs.k), ("v", inputs.v)):
        new = t.transpose(1, 2).to(recent[name].dtype)
        recent[name] = torch.cat([recent[name], new], 2)[:, :, -lags:]
    recent["live"] = torch.cat([recent["live"], live], 1)[:, -lags:]
    return recent


def wire_of(rule: AbstractGradientRule, masked: bool, *, compiled: bool) -> Wire:
    """The wire of a rule; masked: whether calls bring a mask; compiled: see `Gating`."""
    return Wire(
        rule=rule,
        names=tuple(rule.shapes(4)),
        slow=tuple(rule.slow_shapes(4)),
        masked=masked or rule.window > 1,
        compiled=compiled,
    )
