"""What a run tells while it goes: small values for whoever shows them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Event:
    """One moment of a run.

    Attributes:
        kind: "start" (once, with what the task says of itself in `facts`, and how much of val is
            scored on the way), "step", "eval",
            "test" (progress of the final evaluation in `step` of `steps`), "note" (a sentence in
            `text`), "done".
        fingerprint: of the run.
        step: optimizer steps done.
        steps: optimizer steps in all.
        loss: of this step, or of the evaluation; nats.
        tokens_per_s: in training, evaluations and the first step (compilation) left out.
        eta_s: seconds left, None before that can be said.
        metrics: scores of an evaluation by name.
    """

    kind: Literal["start", "step", "eval", "test", "note", "done"]
    fingerprint: str
    step: int = 0
    steps: int = 0
    loss: float | None = None
    tokens_per_s: float | None = None
    eta_s: float | None = None
    text: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    facts: Mapping[str, object] = field(default_factory=dict[str, object])


Progress = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Show nothing."""
