"""Text of the command line to tokens of a task, and back."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playground.errors import DataError, PlaygroundError

if TYPE_CHECKING:
    from playground.spec import ModelSpec
    from playground.spec.tasks import TaskSpec

BREAK = "\n"


def tokenizer_of(task: "TaskSpec", folder: Path | None = None) -> Any:
    """The task's tokenizer; None where its tokens are plain numbers.

    Args:
        task: what the tokens are of.
        folder: of the trained model that reads them; they must mean what they did in training.
    """
    from playground.spec import Text
    from playground.tasks import TABLES, make_task, make_tokenizer
    from playground.train.restore import check_data

    if not isinstance(task, Text):
        return None
    if task.tokenizer in TABLES:  # the table is that of the corpus
        made = make_task(task)
        if folder is not None:
            check_data(folder, task, made)
        return getattr(made, "tokenizer", None)
    return make_tokenizer(task.tokenizer, b"")


def prompts_of(
    tokenizer: Any, given: Sequence[str] | None, model: "ModelSpec"
) -> tuple[Sequence[str], list[list[int]]]:
    """The prompts of `generate` and their tokens; a line break where none is given.

    Raises:
        PlaygroundError: the model reads no tokens, or a prompt is missing, empty or not its text.
    """
    if model.reads.kind != "tokens":
        raise PlaygroundError(
            f"model: it reads {model.reads.kind}, and only a model of tokens can be sampled from. "
            "Score it with `playground eval`."
        )
    if not given:
        return [BREAK], [_break_ids(tokenizer)]
    prompts = [to_ids(tokenizer, text) for text in given]
    if not all(prompts):
        raise PlaygroundError("--prompt: it is empty. Give at least one token.")
    outside = [token for prompt in prompts for token in prompt if not 0 <= token < model.vocab]
    if outside:
        raise PlaygroundError(
            f"--prompt: token {outside[0]} is none of the model's {model.vocab}. "
            f"Write ids from 0 to {model.vocab - 1}."
        )
    return given, prompts


def _break_ids(tokenizer: Any) -> list[int]:
    """The tokens of a line break, with which a text begins where nothing else is asked for."""
    if tokenizer is None:
        raise PlaygroundError(
            "--prompt: is missing, and the task has no text. Write token ids: --prompt '3 17 4'."
        )
    try:
        ids = to_ids(tokenizer, BREAK)
    except PlaygroundError:
        ids = []
    if not ids:
        raise PlaygroundError(
            "--prompt: is missing, and a line break is no token of this model. Write what its text "
            "may go on from."
        )
    return ids


def to_ids(tokenizer: Any, text: str) -> list[int]:
    """The tokens of a prompt; without a tokenizer, of numbers with spaces between them.

    Raises:
        PlaygroundError: not numbers where numbers are needed, or text that the model has no
            tokens for.
    """
    if tokenizer is not None:
        try:
            encoded = tokenizer.encode(text.encode(errors="surrogateescape"))
        except DataError as error:
            problem = error.problem.removesuffix(".")
            raise PlaygroundError(f"--prompt: {problem}. Write what it was trained on.") from None
        return encoded.tokens.tolist()
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
