"""Text of the command line to tokens of a task, and back."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from playground.errors import PlaygroundError

if TYPE_CHECKING:
    from playground.spec.tasks import TaskSpec


def tokenizer_of(task: "TaskSpec") -> Any:
    """The task's tokenizer; None where its tokens are plain numbers."""
    from playground.spec import Text
    from playground.tasks import make_task
    from playground.tasks.tokenizers import make_tokenizer

    if not isinstance(task, Text):
        return None
    if task.tokenizer in ("chars", "words"):  # the table is that of the corpus
        return getattr(make_task(task), "tokenizer", None)
    return make_tokenizer(task.tokenizer, b"")


def to_ids(tokenizer: Any, text: str) -> list[int]:
    """The tokens of a prompt; without a tokenizer, of numbers with spaces between them.

    Raises:
        PlaygroundError: not numbers where numbers are needed.
    """
    if tokenizer is not None:
        return tokenizer.encode(text.encode()).tokens.tolist()
    try:
        return [int(word) for word in text.split()]
    except ValueError:
        raise PlaygroundError(
            f"--prompt: {text!r} is not token ids, and this task has no text. Write '3 17 4'."
        ) from None


def to_text(tokenizer: Any, tokens: Sequence[int]) -> str:
    """Text of tokens."""
    if tokenizer is None:
        return " ".join(map(str, tokens))
    import numpy as np

    return tokenizer.decode(np.array(tokens, dtype=np.int64))
