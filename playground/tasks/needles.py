"""What a needle in a haystack is written with: templates, keys, values, haystacks (RULER)."""

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from playground.errors import DataError
from playground.spec.tasks import Niah
from playground.tasks.base import SPLITS
from playground.tasks.corpora import load_corpus
from playground.tasks.data_files import find_data
from playground.tasks.haystack import Haystack, haystack_of, hiding_texts
from playground.tasks.tokenizers import Tokenizer

# The haystack of RULER's passkey task, one line that is repeated (NVIDIA/RULER, Apache-2.0).
NOISE = (
    "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.\n"
)
SENTENCE = "The grass is green. "

_ADJECTIVES = """
    amber ancient bitter brave bright broken calm clever cold copper cosmic crisp curious dark
    deep dusty eager early empty fancy fast fierce final flat frozen gentle giant golden grand
    green happy heavy hidden hollow honest humble icy idle jolly keen kind large late lazy light
    little lonely loud lucky merry mild misty narrow noble odd old pale plain proud quick quiet
    rapid rare red rich rough round rusty sharp shiny short silent silver simple sleepy slow
    small smooth soft solid sour spare stable steep still stormy strange strong sudden sweet
    swift tall tame tender thick thin tidy tiny vast vivid warm wild wise wooden young
"""
_NOUNS = """
    anchor apple arrow badge barn basket beach bell bench bird boat book bottle branch bread
    bridge brush bucket button cabin camel candle canoe carpet castle cave chain chair cherry
    circle clock cloud coat coin corner cradle crown cup desk dish doctor door dragon dress drum
    eagle engine farmer feather fence field finger fire flag flower forest fork fox frog garden
    gate ghost glass glove goat grape hammer harbor harp hat hill horse house island jacket
    jewel kettle key king kite knife ladder lake lamp leaf lemon letter lion lock map market
    meadow mirror moon morning mountain needle nest oak ocean onion orange oven owl paper pencil
    piano pillow pilot planet plate pocket pond prince queen rabbit rain ribbon ring river road
    robin rocket roof rope sail school shadow sheep shell ship shoe shovel snake snow sparrow
    spoon spring star station stone stream summer sword table temple tiger tower train tree
    trumpet tulip turtle valley violin wagon wall watch water whale wheel window winter wolf
    yard zebra
"""


@dataclass(frozen=True, kw_only=True)
class Template:
    """The words around a needle; `{key}`, `{value}` and `{kind}` are filled in."""

    intro: str
    needle: str
    question: str  # ends where the value is to be given


TEMPLATES = {
    "ruler": Template(
        intro=(
            "A special magic {kind} is hidden within the following text. Make sure to memorize "
            "it. I will quiz you about the {kind} afterwards.\n"
        ),
        needle="One of the special magic {kind}s for {key} is: {value}.",
        question=(
            "\nWhat is the special magic {kind} for {key} mentioned in the provided text? "
            "The special magic {kind} for {key} mentioned in the provided text is"
        ),
    ),
    "short": Template(
        intro="",
        needle="The magic {kind} of {key} is {value}.",
        question="\nThe magic {kind} of {key} is",
    ),
}


def load_haystacks(spec: Niah, tokenizer: Tokenizer) -> tuple[dict[str, Haystack], str]:
    """The haystack of every split, and the sha256 of the text behind them."""
    if spec.haystack == "text":
        corpus = load_corpus(spec.corpus)
        texts = hiding_texts(corpus)
        return {s: haystack_of(text, tokenizer, b". ") for s, text in texts.items()}, corpus.sha256
    text = (NOISE if spec.haystack == "noise" else SENTENCE).encode()
    one = haystack_of(text, tokenizer, b"")
    return dict.fromkeys(SPLITS, one), hashlib.sha256(text).hexdigest()


def load_words(where: str) -> tuple[Sequence[str], Sequence[str]]:
    """Adjectives and nouns of the keys.

    Args:
        where: "embedded", or a folder with adjectivelist.txt and nounlist.txt.

    Raises:
        DataError: the folder or a list is not there, or a list is empty.
    """
    if where == "embedded":
        return _ADJECTIVES.split(), _NOUNS.split()
    return _read_words(find_data(where, "task.words"), where)


@lru_cache(maxsize=2)
def _read_words(folder: Path, where: str) -> tuple[list[str], list[str]]:
    found: list[list[str]] = []
    for name in ("adjectivelist.txt", "nounlist.txt"):
        try:
            lines = (folder / name).read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise DataError(
                f"task.words {where}",
                f"{name} cannot be read ({error}).",
                "Name a folder that has it, or write words: embedded.",
            ) from error
        words = ["-".join(line.split()) for line in lines if line.strip()]
        if not words:
            raise DataError(f"task.words {where}", f"{name} is empty.", "Write words: embedded.")
        found.append(words)
    return found[0], found[1]


def value_of(kind: str, raw: NDArray[np.uint64]) -> str:
    """A value from two random numbers: 7 digits that do not begin with 0, or a uuid (version 4)."""
    if kind == "number":
        return str(1_000_000 + int(raw[0] % np.uint64(9_000_000)))
    return str(uuid.UUID(bytes=raw[:2].tobytes(), version=4))
