"""What a person writes of polyphonic music to be continued."""

from dataclasses import dataclass
from typing import ClassVar

from playground.spec.require import require

KEYS = 88  # of a piano
OCTAVE = 12


@dataclass(frozen=True, kw_only=True)
class Music:
    """Which of 88 keys sound in the next frame (polyphonic music, arXiv:1206.6392)."""

    kind: ClassVar[str] = "music"

    # generated, or a file of piano rolls such as polymusic/JSB_Chorales.npz or .mat
    source: str = "generated"
    length: int = 128  # frames of a training example: a piece, or a random part of a longer one
    transpose: int = 0  # pieces of training are moved by up to so many semitones, at random

    def __post_init__(self) -> None:
        require(bool(self.source), "source", "it is empty.", "Name a file, or write generated.")
        require(self.length >= 2, "length", f"{self.length} is too short.", "Write at least 2.")
        require(
            0 <= self.transpose <= OCTAVE,
            "transpose",
            f"{self.transpose} is not in 0 to {OCTAVE}.",
            "Write 0 for none.",
        )

    def symbols(self) -> int | None:
        """None: frames are no tokens."""
        return None

    def reads(self) -> dict[str, object]:
        """Frames of the keys, and as many answers."""
        return {"kind": "frames", "width": KEYS, "outputs": KEYS}
