"""A rule that descends an objective, and the recurrence derived from it.

Such a rule is written as mathematics: `read`, the memory network through `dense`, and `objective`,
what it descends. `step`, the definition of the rule token by token, follows from them by autograd;
so do its chunk forms, which live with the lowerings.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import torch
from tensordict import TensorDict
from torch import Tensor

from memory_rules.base import AbstractMemoryRule, Rates, Weights
from memory_rules.dense import Dense, Plain
from memory_rules.filters import Side
from memory_rules.gates import ANCHORS, CHANNELS, KINDS, SCALAR, Gate
from memory_rules.state import Inputs, State, tensors


class AbstractGradientRule(AbstractMemoryRule):
    """A rule that descends an objective; it says `shapes`, `read` and `objective`.

    What is not said is Titans' (arXiv:2501.00663, eqs. 13-16): gates lr, momentum and decay per
    token, gradients at the start of chunks of 16 tokens, a learned starting memory.
    """

    start: Literal["zero", "learned"] = "learned"
    lr: Annotated[str, SCALAR] = "token"
    momentum: Annotated[str, SCALAR] = "token"
    decay: Annotated[str, CHANNELS] = "token"
    anchor: Annotated[str, ANCHORS] = "chunk"  # where gradients are taken
    chunk_size: int = 16
    written: Literal["all", "last"] = "all"  # what tokens write; other matrices stay as learned
    window: int = 1  # tokens whose gradients a token descends: itself and window - 1 before it
    surprise_at: Literal["memory", "decayed_memory"] = "memory"
    decay_towards: Literal["zero", "start"] = "zero"
    lr_scale: Literal["one_minus_momentum", "none"] = "one_minus_momentum"
    max_lr: float | Literal["auto"] = "auto"
    lr_power: float = 1.0  # of the gate's sigmoid: the larger, the nearer to 0 unwanted writes come
    nonlinear_close: bool = False  # class D: `close_matrix` replaces the memory at chunk ends
    objective: Any  # a method in a rule that has one; a field in a rule that offers several

    def read(self, dense: Dense, x: Tensor) -> Tensor:
        """The memory network: [..., K] -> [..., V], token by token, weights through `dense`."""
        raise NotImplementedError(f"{type(self).__name__} does not say its read")

    def penalty(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The objective as a scalar, a sum over tokens."""
        return self.objective(prediction, target)

    # what the fields say

    def writes(self, dim: int) -> tuple[str, ...]:
        names = tuple(self.shapes(dim))
        return names if self.written == "all" else names[-1:]

    @property
    def chunked(self) -> bool:
        """Whether gradients are taken at the start of a chunk (also: refined from there)."""
        return self.anchor != "token"

    @property
    def passes(self) -> int:
        """Fixed-point passes that refine the gradients of a chunk."""
        return int(self.anchor.partition(":")[2]) if self.anchor.startswith("passes:") else 0

    @property
    def side(self) -> Side:
        """Which side of a matrix the decay acts on channel by channel."""
        sides: dict[str, Side] = {"channel": "key", "value_channel": "value"}
        return sides.get(self.decay, "scalar")

    @property
    def has_momentum(self) -> bool:
        return self.momentum not in ("none", "fixed:0", "fixed:0.0")

    @property
    def lr_limit(self) -> float:
        """`max_lr: auto` is 1 / (2 chunk_size), also with passes; 1/2 with `anchor: token`."""
        if isinstance(self.max_lr, float | int):
            return float(self.max_lr)
        return 0.5 / self.chunk_size if self.chunked else 0.5

    @property
    def gates(self) -> Mapping[str, Gate]:
        """The learned gates: lr in (0, lr_limit), momentum from 0.9, decay from 0.01, in (0, 1)."""
        limit = self.lr_limit
        wanted = {
            "lr": Gate(kind=_kind(self.lr), high=limit, init=limit / 2, power=self.lr_power),
            "momentum": Gate(kind=_kind(self.momentum), init=0.9),
            "decay": Gate(kind=_kind(self.decay), init=0.01),
        }
        if self.window > 1:
            wanted["window"] = Gate(init=0.5, width=self.window)
        return {n: g for n, g in wanted.items() if n == "window" or getattr(self, n) in KINDS}

    def rates(self, x: Inputs) -> Rates:
        """The filter's gates, a token-wise function of the inputs.

        A matrix that no token writes has no gates: its lr, decay and momentum are 0.
        """
        names = self.writes(x.k.shape[-1])
        momentum = self._gate(x, "momentum", names) if self.has_momentum else None
        decay = self._gate(x, "decay", names)
        lr = self._gate(x, "lr", names)
        if momentum is not None and self.lr_scale == "one_minus_momentum":
            lr = {n: lr[n] * (1.0 - momentum[n]) for n in names}
        window = self._gate(x, "window", names) if self.window > 1 else None
        rates = Rates(lr, {n: 1.0 - decay[n] for n in names}, momentum, window)
        return rates if self.written == "all" else self._with_unwritten(x, rates)

    def _with_unwritten(self, x: Inputs, rates: Rates) -> Rates:
        """Rates of all matrices: those that are not written keep everything and add nothing."""
        shapes, none = self.shapes(x.k.shape[-1]), torch.zeros_like(next(iter(rates.lr.values())))

        def joined(known: Weights, value: float, *last: int) -> Weights:
            unwritten = none.new_full((*none.shape, *last), value)
            return {n: known.get(n, unwritten) for n in shapes}

        keep = {} if self.side == "scalar" else self._kept_channels(none, shapes)
        return Rates(
            lr=joined(rates.lr, 0.0),
            keep=joined(keep | rates.keep, 1.0),
            momentum=None if rates.momentum is None else joined(rates.momentum, 0.0),
            window=None if rates.window is None else joined(rates.window, 0.0, self.window),
        )

    def _kept_channels(self, like: Tensor, shapes: Mapping[str, tuple[int, int]]) -> Weights:
        at = self.side == "value"
        return {n: like.new_ones(*like.shape, shape[at]) for n, shape in shapes.items()}

    def _gate(self, x: Inputs, gate: str, names: tuple[str, ...]) -> Weights:
        if gate in x.gates:
            return {n: x.gates[gate][n] for n in names}
        text = getattr(self, gate)
        none = 1.0 if gate == "lr" else 0.0
        constant = none if text == "none" else float(text.partition(":")[2])
        wide = torch.promote_types(x.k.dtype, torch.float32)  # as learned gates are
        return dict.fromkeys(names, torch.full_like(x.k[..., 0], constant, dtype=wide))

    # the state

    def initial_state(
        self, weights: Mapping[str, Tensor], slow: Mapping[str, Tensor], batch: int
    ) -> State:
        """The state before the first token; a view of the learned weights for every sequence."""
        some = next(iter(weights.values()))

        def rows(leaves: Mapping[str, Tensor]) -> TensorDict:
            at_least = {n: w if w.dtype == torch.float64 else w.float() for n, w in leaves.items()}
            return TensorDict(
                {n: w.expand(batch, *w.shape) for n, w in at_least.items()}, batch_size=[batch]
            )

        learned = rows(weights)
        memory = self._each(learned, self.open_matrix) if self.nonlinear_close else learned
        zeros = memory.apply(torch.zeros_like) if self.has_momentum else rows({})
        state = State(
            memory=memory,
            momentum=zeros,
            anchor=rows({}),
            start=learned if self.decay_towards == "start" else rows({}),
            slow=rows(slow),
            recent=self._recent(learned, batch),
            position=torch.zeros(batch, dtype=torch.int64, device=some.device),
            batch_size=[batch],
        )
        return self.anchored(state)

    def _recent(self, learned: TensorDict, batch: int) -> TensorDict:
        recent = TensorDict({}, batch_size=[batch])
        if self.window > 1:
            *_, last = learned.values()  # leads back to the width of a head; the first may be wider
            some, heads, dim = last, last.shape[1], last.shape[3]
            empty = torch.zeros(
                batch, heads, self.window - 1, dim, dtype=some.dtype, device=some.device
            )
            recent["k"], recent["v"] = empty, empty.clone()
            recent["live"] = torch.zeros(
                batch, self.window - 1, dtype=torch.bool, device=some.device
            )
        if self.nonlinear_close:
            recent["dual"] = learned
        return recent

    def anchored(self, state: State) -> State:
        """Open a chunk at the current memory: anchor, drafts of the passes, retention so far."""
        recent = state.recent.clone(recurse=False)
        drafts = {"memory": state.memory, "momentum": state.momentum}
        for level in range(self.passes):
            recent[f"draft{level}"] = TensorDict(drafts, batch_size=state.batch_size)
        if self.nonlinear_close:
            recent["kept"] = self._each(state.memory, self.ones_of_side)
        anchor = state.memory if self.chunked else state.anchor
        return state.replace(anchor=anchor, recent=recent)

    def close(self, state: State) -> State:
        """End the open chunk: the nonlinear part of the rule, if any, and a new anchor."""
        if self.nonlinear_close:
            memory, dual = {}, {}
            for name, linear in state.memory.items():
                kept = state.recent["kept", name]
                decayed = kept * state.anchor[name]
                if self.decay_towards == "start":
                    decayed = decayed + (1.0 - kept) * state.start[name]
                memory[name], dual[name] = self.close_matrix(
                    decayed=decayed,
                    linear=linear,
                    momentum=state.momentum.get(name, None),
                    dual=kept * state.recent["dual", name],
                )
            recent = state.recent.clone(recurse=False)
            recent["dual"] = TensorDict(dual, batch_size=state.batch_size)
            state = state.replace(
                memory=TensorDict(memory, batch_size=state.batch_size), recent=recent
            )
        return self.anchored(state)

    def restart(self, state: State) -> State:
        """End the open chunk and begin counting anew: after a warm-up, before the first token."""
        return self.close(state).replace(position=torch.zeros_like(state.position))

    def open_matrix(self, dual: Tensor) -> Tensor:
        """Class D: the memory that belongs to an accumulator (mirror descent); itself otherwise."""
        return dual

    def close_matrix(
        self, *, decayed: Tensor, linear: Tensor, momentum: Tensor | None, dual: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Class D: the memory and accumulator after a chunk.

        Args:
            decayed: the chunk's first memory after the chunk's retention, [B, H, d_in, d_out].
            linear: the memory the linear filter arrived at.
            momentum: accumulated surprise at the chunk's end, None where the rule has none.
            dual: the accumulator after the chunk's retention, without the chunk's writes.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how a chunk closes")

    # one token

    def step(self, state: State, x: Inputs) -> tuple[Tensor, State]:
        """One token, written out: gradient, write, read, and the end of a chunk."""
        rates = self.rates(x)
        k, v, q = (t.to(_dtype(state)).unsqueeze(-2) for t in (x.k, x.v, x.q))
        before, recent = state.memory, state.recent.clone(recurse=False)
        if self.chunked:
            where_to = [state.anchor] + [
                recent[f"draft{level}", "memory"] for level in range(self.passes)
            ]
        else:
            where_to = [self._decayed(state, rates)]
        surprises = [self._surprise(state, at, k, v, rates, x.mask) for at in where_to]
        for level in range(self.passes):
            draft = recent[f"draft{level}"]
            memory, momentum = self._write(
                state, draft["memory"], draft["momentum"], surprises[level], rates, x.mask
            )
            recent[f"draft{level}"] = TensorDict(
                {"memory": memory, "momentum": momentum}, batch_size=state.batch_size
            )
        memory, momentum = self._write(state, before, state.momentum, surprises[-1], rates, x.mask)
        state = state.replace(memory=memory, momentum=momentum, recent=recent)
        state = self._remember(state, k, v, rates, x.mask)
        weights = memory if self.read_at == "after" else before
        y = self.read(Plain(weights, state.slow), q).squeeze(-2)
        return y.to(x.v.dtype), self._advance(state)

    def _decayed(self, state: State, rates: Rates) -> TensorDict:
        if self.surprise_at == "memory":
            return state.memory
        return self._each_named(
            state.memory, lambda n, w: self._retain(state, n, w, self._wide(rates.keep[n]))
        )

    def _retain(self, state: State, name: str, w: Tensor, keep: Tensor) -> Tensor:
        if self.decay_towards == "start":
            return keep * (w - state.start[name]) + state.start[name]
        return keep * w

    def _surprise(
        self,
        state: State,
        weights: TensorDict,
        k: Tensor,
        v: Tensor,
        rates: Rates,
        mask: Tensor | None,
    ) -> Weights:
        """Gradient of the objective at `weights`, [B, H, d_in, d_out] per matrix."""

        def gradient(k: Tensor, v: Tensor) -> Weights:
            def loss(w: Weights) -> Tensor:
                return self.penalty(self.read(Plain(w, state.slow), k), v)

            return torch.func.grad(loss)(tensors(weights))

        if rates.window is None:
            return gradient(k, v)
        keys = torch.cat([state.recent["k"], k], -2)
        values = torch.cat([state.recent["v"], v], -2)
        total: Weights = {}
        for lag in range(self.window):
            at = self.window - 1 - lag
            grads = gradient(keys[..., at : at + 1, :], values[..., at : at + 1, :])
            live = 1.0 if lag == 0 else state.recent["live"][:, at, None].to(k.dtype)
            for n, g in grads.items():
                term = _wide_scalar(rates.window[n][..., lag] * live) * g
                total[n] = total[n] + term if n in total else term
        return total

    def _write(
        self,
        state: State,
        memory: TensorDict,
        momentum: TensorDict,
        surprise: Weights,
        rates: Rates,
        mask: Tensor | None,
    ) -> tuple[TensorDict, TensorDict]:
        """The linear filter: retention of the memory, momentum of the surprise, one step."""
        new_memory, new_momentum = {}, {}
        live = None if mask is None else mask[:, None, None, None]
        for n, w in tensors(memory).items():
            move = -_wide_scalar(rates.lr[n]) * surprise[n]
            if rates.momentum is not None:
                move = _wide_scalar(rates.momentum[n]) * momentum[n] + move
                new_momentum[n] = move if live is None else torch.where(live, move, momentum[n])
            after = self._retain(state, n, w, self._wide(rates.keep[n])) + move
            new_memory[n] = after if live is None else torch.where(live, after, w)
        batch = state.batch_size
        return TensorDict(new_memory, batch_size=batch), TensorDict(new_momentum, batch_size=batch)

    def _remember(
        self, state: State, k: Tensor, v: Tensor, rates: Rates, mask: Tensor | None
    ) -> State:
        recent = state.recent.clone(recurse=False)
        if self.window > 1:
            live = torch.ones_like(state.position, dtype=torch.bool) if mask is None else mask
            recent["k"] = torch.cat([recent["k"], k], -2)[..., 1:, :]
            recent["v"] = torch.cat([recent["v"], v], -2)[..., 1:, :]
            recent["live"] = torch.cat([recent["live"], live[:, None]], -1)[:, 1:]
        if self.nonlinear_close:

            def after(n: str, kept: Tensor) -> Tensor:
                now = kept * self._wide(rates.keep[n])
                return now if mask is None else torch.where(mask[:, None, None, None], now, kept)

            recent["kept"] = self._each_named(recent["kept"], after)
        return state.replace(recent=recent)

    def _advance(self, state: State) -> State:
        position = state.position + 1
        state = state.replace(position=position)
        if not self.chunked:
            return state
        ends = position % self.chunk_size == 0
        closed = self.close(state)

        def choose(new: Tensor, old: Tensor) -> Tensor:
            return torch.where(ends.view(-1, *[1] * (new.ndim - 1)), new, old)

        return closed.apply(choose, state)  # pyright: ignore[reportCallIssue, reportArgumentType]

    # small shapes

    def _wide(self, keep: Tensor) -> Tensor:
        """A retention [B, H] or [B, H, d] against a matrix [B, H, d_in, d_out]."""
        if self.side == "scalar":
            return _wide_scalar(keep)
        return keep[..., None] if self.side == "key" else keep[..., None, :]

    def ones_of_side(self, w: Tensor) -> Tensor:
        shape = list(w.shape)
        if self.side != "key":
            shape[-2] = 1
        if self.side != "value":
            shape[-1] = 1
        return torch.ones(shape, dtype=w.dtype, device=w.device)

    def _each(self, leaves: TensorDict, f: Callable[[Tensor], Tensor]) -> TensorDict:
        return self._each_named(leaves, lambda _, w: f(w))

    def _each_named(self, leaves: TensorDict, f: Callable[[str, Tensor], Tensor]) -> TensorDict:
        made = {n: f(n, w) for n, w in tensors(leaves).items()}
        return TensorDict(made, batch_size=leaves.batch_size)


def _kind(text: str) -> Any:
    return text if text in ("token", "head", "channel", "value_channel") else "token"


def _wide_scalar(gate: Tensor) -> Tensor:
    return gate[..., None, None]


def _dtype(state: State) -> torch.dtype:
    return next(iter(state.memory.values())).dtype
