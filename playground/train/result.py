"""What is left of a run when it is over: one JSON object."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Result:
    """The outcome of one run, finished or failed.

    Attributes:
        fingerprint: identity of the run, 64 hexadecimal digits.
        status: "ok", or "failed" with a `reason`.
        metrics: "val/loss", "test/loss", "test/bits_per_byte", "tokens_per_s", ...
        floors: what counting or guessing reaches on the test split, in the unit of the loss; those
            of another score end in its name ("linear_mae").
        params: learned numbers of the model.
        state_bytes: what one sequence carries from token to token.
        flops_per_token: of a forward pass.
        tokens: read in training.
        steps: optimizer steps done.
        wall_s: seconds of all attempts together.
        began: when the last attempt began, seconds since 1970; runs of one program have the same.
        ended: when the result was there.
        replicas: how many runs were trained as one program, with this one.
        computed: device and precision, such as "cpu fp32": a spec may leave both open.
    """

    fingerprint: str
    status: Literal["ok", "failed"]
    reason: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    floors: Mapping[str, float] = field(default_factory=dict[str, float])
    params: int = 0
    state_bytes: int = 0
    flops_per_token: int = 0
    tokens: int = 0
    seed: int = 0
    steps: int = 0
    wall_s: float = 0.0
    began: float = 0.0
    ended: float = 0.0
    replicas: int = 1
    computed: str = ""

    @property
    def ok(self) -> bool:
        """Whether the run reached its end."""
        return self.status == "ok"

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as result.json holds it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: object) -> "Result":
        """The result that plain data describes; keys of later versions are ignored.

        Raises:
            TypeError: it describes none.
        """
        if not isinstance(raw, Mapping):
            raise TypeError("a result is a mapping")
        known = {f.name for f in fields(cls)}
        return cls(**{key: value for key, value in raw.items() if key in known})
