"""The harness around a trained model; the package is imported only when a run begins."""

import importlib
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playground.errors import DataError
from playground.harness.local import PREFIX, write_local_task
from playground.harness.scorer import Scorer

TOKENS = 256  # written at most where a task does not say


def run(
    scorer: Scorer,
    tasks: Sequence[str],
    *,
    include_path: Path | str | None = None,
    limit: int | None = None,
) -> dict[str, dict[str, float]]:
    """Scores of a model on tasks of lm-evaluation-harness.

    Args:
        scorer: the model.
        tasks: names that the harness knows, such as wikitext, lambada_openai, piqa; or
            local_wikitext and so on, which take its examples from files that are here.
        include_path: a folder with task files (YAML) of one's own.
        limit: at most so many examples of each task; None for all.

    Returns:
        task -> score by name, such as {"piqa": {"acc": 0.53, "acc_stderr": 0.01}}.

    Raises:
        DataError: the extra is missing, the model cannot read every text, or a task is unknown or
            cannot be loaded.
    """
    harness = load()
    scorer.require_any_text()
    with tempfile.TemporaryDirectory() as made:
        manager = _manager(tasks, include_path, Path(made))
        found = harness.simple_evaluate(
            model=adapter(scorer),
            tasks=list(tasks),
            task_manager=manager,
            limit=limit,
            bootstrap_iters=0,
            log_samples=False,
        )
    return {name: _numbers(scores) for name, scores in found["results"].items()}


def _manager(tasks: Sequence[str], include_path: Path | str | None, made: Path) -> Any:
    """What finds task files: the harness's, those of a folder, and local ones written to `made`."""
    manage: Any = importlib.import_module("lm_eval.tasks").TaskManager
    folders = [] if include_path is None else [str(include_path)]
    if local := [name for name in tasks if name.startswith(PREFIX)]:
        own = manage()
        for name in local:
            write_local_task(name, made, lambda task: own.task_index[task].yaml_path)
        folders.append(str(made))
    manager = manage(include_path=folders or None)
    if unknown := [name for name in tasks if not manager.match_tasks([name])]:
        raise DataError(
            f"--harness {unknown[0]}",
            "the harness has no such task.",
            "Give the folder of its YAML with --include-path, or see lm_eval ls tasks.",
        )
    return manager


def load() -> Any:
    """The package.

    Raises:
        DataError: it is not installed.
    """
    try:
        return importlib.import_module("lm_eval")
    except ImportError as missing:
        raise DataError(
            "--harness",
            "the package `lm_eval` is not installed.",
            "Install the extra: pip install 'test-time-playground[lm-eval]'; in a clone "
            "pip install -c constraints.txt -e '.[lm-eval]'.",
        ) from missing


def adapter(scorer: Scorer) -> Any:
    """The model as the harness wants it: an instance of `lm_eval.api.model.LM`."""
    base: Any = importlib.import_module("lm_eval.api.model").LM

    class PlaygroundLM(base):
        """Answers requests with a `Scorer`."""

        def loglikelihood(
            self, requests: Sequence[Any], disable_tqdm: bool = False
        ) -> list[tuple[float, bool]]:
            """(nats, greedy) of (context, continuation) pairs."""
            found = scorer.continuations([request.args for request in requests])
            return [(one.nats, one.greedy) for one in found]

        def loglikelihood_rolling(
            self, requests: Sequence[Any], disable_tqdm: bool = False
        ) -> list[float]:
            """Nats of whole texts."""
            return scorer.whole([request.args[0] for request in requests])

        def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
            """What the model adds to contexts."""
            return [_written(scorer, *request.args) for request in requests]

    return PlaygroundLM()


def _written(scorer: Scorer, context: str, wishes: dict[str, Any]) -> str:
    until = wishes.get("until") or []
    return scorer.write(
        context,
        stop=[until] if isinstance(until, str) else list(until),
        tokens=int(wishes.get("max_gen_toks", TOKENS)),
        temperature=float(wishes.get("temperature", 0.0)) if wishes.get("do_sample") else 0.0,
    )


def _numbers(scores: dict[str, Any]) -> dict[str, float]:
    """Scores without what is no number; the harness's filter is named where there are several."""
    numbers = {
        name: value if isinstance(value, int) else float(value)
        for name, value in scores.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    several = Counter(name.partition(",")[0] for name in numbers)
    short = {name: name.partition(",")[0] for name in numbers}
    return {short[n] if several[short[n]] == 1 else n: value for n, value in numbers.items()}
