"""YAML text and `key=value` words as plain data: dicts, lists, numbers, strings, None.

OmegaConf reads; nothing here knows what a key means.
"""

from pathlib import Path
from typing import TypeGuard, cast

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from playground.errors import SpecError
from playground.spec.tasks import EMBEDDED_CORPORA

Raw = dict[str, object]

DATA_FIELDS = ("corpus", "source")  # of a task: where its data is

_WRITE_MAPPING = "Write a mapping that starts with kind: model, run, sweep or bench."


def read_file(path: Path) -> Raw:
    """The top-level mapping of a YAML file, interpolations resolved, own paths made absolute.

    Raises:
        SpecError: missing, unreadable, binary, empty, not YAML, or not a mapping.
    """
    where = str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = [p.name for p in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
        fix = f"The folder has: {', '.join(sorted(near))}." if near else "Check the path."
        raise SpecError(where, "there is no such file.", fix=fix) from None
    except UnicodeDecodeError:
        fix = "Name a YAML file."
        raise SpecError(where, "the file is binary, not YAML text.", fix=fix) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SpecError(where, f"cannot be read: {reason}.", fix="Name a YAML file.") from None
    if not text.strip():
        raise SpecError(where, "the file is empty.", fix=_WRITE_MAPPING)
    return anchor_paths(parse_mapping(text, where), path.parent)


def parse_mapping(text: str, where: str) -> Raw:
    """The mapping that YAML text holds; `where` names it in errors."""
    loaded = _parse(text, where)
    if not is_mapping(loaded):
        found = "a list" if isinstance(loaded, list) else "no mapping"
        raise SpecError(where, f"the file holds {found}.", fix=_WRITE_MAPPING)
    if not loaded or (list(loaded.values()) == [None] and ":" not in text):
        raise SpecError(where, "the file holds no mapping.", fix=_WRITE_MAPPING)
    return loaded


def _parse(text: str, where: str) -> object:
    try:
        tree = OmegaConf.create(text)
        return cast(object, OmegaConf.to_container(tree, resolve=True, throw_on_missing=True))
    except yaml.YAMLError as error:
        fix = "Check indentation, colons and quotes there."
        raise SpecError(where, f"not YAML: {_yaml_problem(error)}.", fix=fix) from None
    except RecursionError:
        raise SpecError(where, "nested too deeply.", fix=_WRITE_MAPPING) from None
    except AssertionError:  # how OmegaConf answers to a number
        return None
    except (OmegaConfBaseException, ValueError, OSError, TypeError) as error:
        problem = _first_line(error)
        fix = "Write plain YAML; ${...} may refer to keys of the same file only."
        raise SpecError(where, f"cannot be used: {problem}.", fix=fix) from None


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".:")


def _yaml_problem(error: yaml.YAMLError) -> str:
    if not isinstance(error, yaml.MarkedYAMLError):
        return _first_line(error)
    mark = error.problem_mark
    line = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    return " ".join(str(error.problem or error.context).split()) + line


def parse_override(word: str) -> tuple[str, object]:
    """The dotted key and the value of one `key=value` of the command line.

    Raises:
        SpecError: no `=`, no key, or a value that is not YAML.
    """
    key, equals, text = word.partition("=")
    if not equals or not key.strip() or not all(key.strip().split(".")):
        fix = "Write for example dim=512 or block.memory.chunk_size=32."
        raise SpecError(word or "''", "is not key=value.", fix=fix)
    try:
        tree = OmegaConf.from_dotlist([f"value={text}"])
        loaded = cast(Raw, OmegaConf.to_container(tree, resolve=True, throw_on_missing=True))
    except (yaml.YAMLError, OmegaConfBaseException, ValueError, RecursionError) as error:
        problem = _first_line(error)
        fix = "Quote the value if it holds brackets, braces or ${."
        raise SpecError(key, f"{text!r} is not a YAML value: {problem}.", fix=fix) from None
    return key.strip(), anchor_paths({key.strip(): loaded["value"]}, Path.cwd())[key.strip()]


def anchor_paths(raw: Raw, folder: Path) -> Raw:
    """A copy whose rule files and corpora are absolute, taken as relative to `folder`."""
    return {key: _anchored(str(key).rpartition(".")[2], raw[key], folder) for key in raw}


def _anchored(name: str, value: object, folder: Path) -> object:
    if is_mapping(value):
        return anchor_paths(value, folder)
    if isinstance(value, list):
        return [_anchored(name, item, folder) for item in cast(list[object], value)]
    if not isinstance(value, str):
        return value
    if name == "kind" and ".py:" in value:
        return str(absolute(value, folder))
    if name in DATA_FIELDS and is_corpus_path(value):
        path = absolute(value, folder)
        return str(path) if path.exists() else value  # else the task looks where it may
    return value


def absolute(path: str, folder: Path) -> Path:
    """`path` as seen from `folder`, with `..` and `~` resolved."""
    return (folder.expanduser().absolute() / Path(path).expanduser()).resolve()


def is_corpus_path(corpus: str) -> bool:
    """Whether a corpus or source is a file or folder, not a name."""
    named = corpus in EMBEDDED_CORPORA or corpus == "generated" or corpus.startswith("hf:")
    return bool(corpus) and not named


def is_mapping(value: object) -> TypeGuard[Raw]:
    """Whether plain data is a mapping."""
    return isinstance(value, dict)
