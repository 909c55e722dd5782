"""The command `playground`: its verbs, and what becomes of an error."""

import functools
import importlib
import logging
import sys
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec

import typer

from playground.errors import PlaygroundError

P = ParamSpec("P")

WRONG_INPUT, FAILED, INTERRUPTED = 2, 1, 130
# Files of verbs, in the order of --help.
VERBS = ("specs", "runs", "sweeps", "results", "searching", "benching", "rules", "machine")
DEBUG = "--debug"  # shows tracebacks; for whoever works on the playground itself

app = typer.Typer(
    name="playground",
    help="Sequence models that learn at test time: declared in YAML, trained, compared.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: rich costs more than all the rest of --help
)

_debug = False


def verb(name: str) -> Callable[[Callable[P, int | None]], Callable[P, None]]:
    """Make a function a verb: its docstring is the help, its int result the exit code."""

    def register(function: Callable[P, int | None]) -> Callable[P, None]:
        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> None:
            raise typer.Exit(_guarded(functools.partial(function, *args, **kwargs)))

        app.command(name)(run)
        return run

    return register


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        words: what follows `playground`; None for this process' own arguments.

    Returns:
        The exit code: 0, 1 for a run that failed, 2 for wrong input, 130 after Ctrl-C.
    """
    global _debug
    given = list(sys.argv[1:] if words is None else words)
    _debug = DEBUG in given
    _load_verbs()
    _log_to_stderr()
    try:
        app([word for word in given if word != DEBUG], prog_name="playground")
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else 0
    return 0


def _guarded(run: Callable[[], int | None]) -> int:
    try:
        return run() or 0
    except PlaygroundError as error:
        if _debug:
            raise
        code = getattr(error, "exit_code", WRONG_INPUT)
        label = "" if code == INTERRUPTED else f"{type(error).__name__}: "
        print(f"{label}{error}", file=sys.stderr)
        return code
    except ValueError as error:
        from memory_rules.facts import RuleError  # torch, which not every command needs

        if _debug or not isinstance(error, RuleError):
            raise
        print(f"{RuleError.__name__}: {error}", file=sys.stderr)
        return WRONG_INPUT
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has seen enough
        sys.stderr.close()
        return 0
    except OSError as error:
        if _debug:
            raise
        where = f"{error.filename}: " if error.filename else ""
        problem = f"{where}{error.strerror or error}. What was written before is kept."
        print(f"{type(error).__name__}: {problem} {DEBUG} shows where.", file=sys.stderr)
        return WRONG_INPUT


def _load_verbs() -> None:
    for name in VERBS:
        importlib.import_module(f"playground.cli.{name}")


def _log_to_stderr() -> None:
    for name in ("playground", "search"):
        logger: Any = logging.getLogger(name)
        if not logger.handlers:
            handler = logging.StreamHandler()
            handler.setFormatter(logging.Formatter("%(message)s"))
            logger.addHandler(handler)
