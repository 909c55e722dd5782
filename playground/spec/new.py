"""Commented starting specs for `playground new NAME`; each stands alone and loads as it is."""

from textwrap import indent

from playground.errors import SpecError

_MODEL = """\
# {title}
kind: model
vocab: 256                       # different tokens; 256 for bytes
dim: 128                         # width of the model
depth: 4                         # layers
positions: rope                  # rope | none; of attention, memories use none
tie_embeddings: true
persistent_tokens: 4             # learned tokens before the sequence, per block
"""

_MEMORY = """\
  memory:
    kind: titans                 # any rule (a wrong name lists them), or my_rule.py:MyRule
    network: mlp                 # vector | linear | mlp | swiglu
    depth: 2                     # matrices of the mlp
    expand: 4                    # its hidden width, in widths of a head
    momentum: token              # token | head | fixed:0.9 | none
    decay: token                 # token | channel | value_channel | head | fixed:0.01 | none
    chunk_size: 16               # tokens that share the memory their gradients are taken at
    heads: 4                     # memories side by side; they divide dim
    conv: 4                      # width of the causal convolution on q, k, v; 0 for none
"""

_FEEDFORWARD = """\
  feedforward: {kind: swiglu, expand: 2.6667}   # swiglu | gelu | none
"""

_ATTENTION = """\
  attention: {heads: 4}          # also kv_heads, qk_norm, dropout, backend
"""

_WINDOW = """\
  window_len: 256                # tokens that a token's attention reaches back
"""

_SEGMENT = """\
  segment_len: 64                # tokens that attend to each other; a multiple of chunk_size
"""

_HYBRID = """\
layers:
  pattern: "3M 1A"               # M M M A, again and again over the depth
  M: {kind: lmm, memory: {kind: gated_delta, heads: 4, conv: 4}}
  A: {kind: attention, window_len: 256, attention: {heads: 4}}
  at:                            # single layers; -1 is the last
    -1: {kind: attention, attention: {heads: 4}}
"""

_TASK = """\
task:
  # text | mqar | niah | babilong | dna | music | forecast | state_tracking | mad_recall |
  # mad_noisy_recall | mad_fuzzy_recall | mad_selective_copy | mad_compression | mad_memorization
  kind: text
  corpus: python-stdlib          # there on every machine; or a file, relative to this one
  tokenizer: bytes               # bytes | chars | words | hf:NAME
  length: 512                    # tokens of one example
train:
  steps: 1000
  batch: 8
  optim: {lr: 2e-3, weight_decay: 0.1, schedule: cosine, warmup: 0.05, clip: 1.0}
"""

_RUN = """\
# One training run: playground train run.yaml
kind: run
model:                           # or {{extends: my_model.yaml, dim: 256}}
{model}{task}seed: 0
device: auto                     # auto | cpu | cuda | cuda:0
dtype: auto                      # auto | fp32 | bf16
lowering: auto                   # auto | recurrent | chunked | triton
compile: true                    # true | loops, in seconds | false, needs no C++ compiler
run: {{compile_mode: default}}     # default | graphs: CUDA graphs; changes no number
"""

_SWEEP = """\
# An ablation: playground sweep sweep.yaml
# Every variant is the base with some keys changed; all get the same seeds, so that differences
# are paired.
kind: sweep
base:                            # or a path, or {{extends: my_model.yaml, dim: 256}}
  kind: model
{model}{task}baseline: full                   # what the base itself is called
variants:
  linear-memory: {{block.memory.network: linear}}
  no-conv: {{block.memory.conv: 0}}
  no-momentum: {{block.memory.momentum: none}}
  no-decay: {{block.memory.decay: none}}
grid: {{}}                         # products: {{block.memory.chunk_size: [8, 16, 64]}}
zip: {{}}                          # keys that move together: {{dim: [32, 64], depth: [4, 1]}}
across: {{}}                       # scores are means over these: {{task.horizon: [96, 192]}}
seeds: 3                         # a count, or a list
report: {{metrics: [test/loss, test/bits_per_byte, tokens_per_s], formats: [md, html, csv]}}
run: {{engine: local, workers: auto, retries: 2}}
"""

_SEARCH = """\
# A search: playground search search.yaml
# It needs Optuna: pip install 'test-time-playground[search]'
# A candidate is the base with one value for every key of the space. It is checked before it is
# trained: it builds, is causal, equals its own recurrence, and is within the limits.
kind: search
base:                            # or a path, or {{extends: my_model.yaml, dim: 256}}
  kind: model
{model}{task}space:                           # one value of each key makes a candidate
  block.memory.network: [linear, mlp]                    # one of a list
  block.memory.momentum: [token, head, none]
  depth: {{low: 1, high: 4}}                               # or of a range of whole numbers
  train.optim.lr: {{low: 1e-3, high: 1e-2, log: true}}
limits: {{params: [0, 1e6]}}       # least and most; also state_bytes, flops_per_token, tokens_per_s
objectives: {{val/loss: min, tokens_per_s: max}}   # one score on val, and any of those four
sampler:
  kind: nsga2                    # nsga2 | tpe | random | grid
  population: 8                  # candidates that are trained before the next are proposed
  trials: 16                     # candidates of each arm
  control: random                # random: an arm with the same budget beside it | none
rungs:                           # one after another; keep: the part that goes on to the next
  - {{suite: static}}              # the checks; others train: text-small | mqar-mini | mad-lite
  - {{seeds: 1, keep: 0.25, train.steps: 100}}
  - {{suite: confirm, seeds: 6}}   # as the rung before, with fresh seeds, scored on test
run: {{engine: local, workers: auto}}
"""

_BENCH = """\
# Speed, and what it is worth: playground bench bench.yaml
# No time without a green gate: what each path computes is held to the recurrence in fp64 first.
kind: bench
models:                          # [a.yaml, b.yaml], or by name: {{b: {{extends: a.yaml, dim: 64}}}}
  titans:
{model}rules:                           # by themselves; any rule, or my_rule.py:MyRule
  - gated_delta
  - {{kind: titans, chunk_size: 64, expand: 2}}
paths: [eager, compiled, triton] # also recurrent; a path that cannot run here says why
modes: [forward, forward_backward, train_step, prefill, decode]   # the middle two: models alone
shapes:                          # every combination; or a list of such mappings
  batch: [2]
  length: [256]
  heads: [4]                     # of rules; a model has its own
  width: [64]                    # of a head, likewise
  dtype: [fp32]                  # fp32 | bf16 | fp64
gates: [default]                 # default | strong (forgets fast) | weak; of rules
check: {{against: recurrent, tolerance: auto}}   # or the largest relative error
baseline: eager                  # speed-ups are over it
peers: []                        # titans-pytorch | fla | sdpa | flex | xformers
repeats: 10                      # calls that count; what is compared takes turns
empty_cache: false               # true: compile seconds are those of a first use
device: auto                     # auto | cpu | cuda
"""

_RULE = '''\
"""A memory rule of one's own: in a spec, `kind: my_rule.py:MyRule`; test it by `playground verify`.

    memory_t = (1 - decay_t) memory_{t-1} - lr_t surprise_t
    surprise = gradient of the objective below, taken by autograd
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from memory_rules import AbstractGradientRule, register


@register("my_rule", paper="arXiv:0000.00000")
@dataclass(frozen=True, kw_only=True)
class MyRule(AbstractGradientRule):
    """A linear memory that a single outlier cannot overwrite."""

    scale: float = 1.0  # errors beyond it pull with constant force; every field is a key in YAML
    chunk_size: int = 16

    momentum = "none"  # not a field, so the same in every spec

    def __post_init__(self) -> None:
        if self.scale <= 0:
            raise ValueError(f"scale: {self.scale} is not above 0.")

    def shapes(self, dim: int) -> Mapping[str, tuple[int, int]]:
        """One head's fast weights: name -> (d_in, d_out)."""
        return {"w": (dim, dim)}

    def read(self, dense, x: Tensor) -> Tensor:
        """The memory network; `dense(name, x)` is x @ weights[name]."""
        return dense("w", x)

    def objective(self, prediction: Tensor, target: Tensor) -> Tensor:
        """What the memory descends: a scalar, a sum over tokens."""
        error = (prediction - target) / self.scale
        return 2 * self.scale**2 * (torch.sqrt(1 + error**2) - 1).sum()
'''


def _model(title: str, *parts: str) -> str:
    return _MODEL.format(title=title) + "".join(parts)


def _inside(text: str) -> str:
    """Lines of a model's file as they stand below a key, without the title and the kind."""
    lines = text.splitlines()[2:]
    return "".join(f"  {line}\n" for line in lines)


def _block(kind: str, *parts: str) -> str:
    return f"block:\n  kind: {kind}\n" + "".join(parts) + _FEEDFORWARD


_LMM = _model("Titans' long-term memory alone as token mixer.", _block("lmm", _MEMORY))

STARTS = {
    "titans-lmm": _LMM,
    "titans-mac": _model(
        "Titans, memory as context: attention sees what the memory recalls.",
        _block("mac", _SEGMENT, _ATTENTION, _MEMORY),
    ),
    "titans-mag": _model(
        "Titans, memory as gate beside sliding-window attention.",
        _block("mag", _WINDOW, _ATTENTION, _MEMORY),
    ),
    "titans-mal": _model(
        "Titans, memory as a layer below sliding-window attention.",
        _block("mal", _WINDOW, _ATTENTION, _MEMORY),
    ),
    "hybrid": _model("Memory layers and attention layers, by a pattern.", _HYBRID),
    "run": _RUN.format(model=_inside(_LMM), task=_TASK),
    "sweep": _SWEEP.format(model=_inside(_LMM), task=_TASK),
    "search": _SEARCH.format(model=_inside(_LMM), task=_TASK),
    "bench": _BENCH.format(model=indent(_inside(_LMM), "  ")),
    "rule": _RULE,
}


def starting_spec(name: str) -> tuple[str, str]:
    """The file name and the text of a starting spec.

    Args:
        name: one of STARTS.

    Raises:
        SpecError: there is none of that name.
    """
    if name not in STARTS:
        raise SpecError("NAME", f"there is no starting spec {name!r}.", STARTS, name)
    file = "my_rule.py" if name == "rule" else f"{name.replace('-', '_')}.yaml"
    return file, STARTS[name]
