"""YAML text and `key=value` words as plain data: dicts, lists, numbers, strings, None.

OmegaConf reads; nothing here knows what a key means.
"""

import glob
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard, cast

import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import KeyValidationError, OmegaConfBaseException

from playground.errors import SpecError, likest
from playground.spec.tasks import EMBEDDED_CORPORA

Raw = dict[str, object]

DATA_FIELDS = ("corpus", "source")  # of a task: where its data is
MORE_DATA = ("facts", "words")  # the same; of a relative path the folder is part of the identity

MOST_NAMES = 8  # of a folder's files that an error lists

_WRITE_MAPPING = "Write a mapping that starts with kind: model, run, sweep, search or bench."
_ONE_LINE = "Write it in one line."
_OWN_KEYS = "${...} may refer to keys of the same file only."
_LINE_BREAKS = re.compile(r"\s*[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]\s*")
_OPEN = r"(?<!\\)((?:\\\\)*)(\$\{(?:[^${}]|\$(?!\{))*"  # ${ that no backslash escapes, and on
_CALL = re.compile(_OPEN + r":[^}]*\}?)")
_REFERENCE = re.compile(_OPEN + r"\})")  # with none inside


def read_file(path: Path) -> Raw:
    """The top-level mapping of a YAML file, interpolations resolved, own paths made absolute.

    Raises:
        SpecError: missing, unreadable, binary, empty, not YAML, or not a mapping.
    """
    where = one_line(str(path))
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SpecError(where, "there is no such file.", fix=_files_near(path)) from None
    except UnicodeDecodeError:
        fix = "Name a YAML file."
        raise SpecError(where, "the file is binary, not YAML text.", fix=fix) from None
    except (OSError, ValueError) as error:
        problem = f"cannot be read: {_reason(error)}."
        raise SpecError(where, problem, fix="Name a YAML file.") from None
    if not text.strip():
        raise SpecError(where, "the file is empty.", fix=_WRITE_MAPPING)
    try:
        return anchor_paths(parse_mapping(text, where), path.parent)
    except SpecError as error:
        raise error if error.path == where else error.under("", where) from None


def _files_near(path: Path) -> str:
    """The YAML files of that name further down, else those beside a path, similar names first."""
    name = f"{glob.escape(path.stem)}.y*ml"
    below = sorted(one for way in ("*", "*/*") for one in path.parent.glob(f"{way}/{name}"))
    if below:
        return f"Further down there is {', '.join(map(str, below[:MOST_NAMES]))}."
    names = [one_line(file.name) for file in path.parent.glob("*.y*ml")]
    shown = likest(path.name, names, MOST_NAMES)
    if not shown:
        return "Check the path."
    left = len(names) - len(shown)
    return f"The folder has: {', '.join(shown)}{f' and {left} more' if left else ''}."


def parse_mapping(text: str, where: str) -> Raw:
    """The mapping that YAML text holds; `where` names it in errors."""
    loaded = _parse(text, where)
    if not is_mapping(loaded):
        found = "a list" if isinstance(loaded, list) else "no mapping"
        raise SpecError(where, f"the file holds {found}.", fix=_WRITE_MAPPING)
    if not loaded or (list(loaded.values()) == [None] and ":" not in text):
        raise SpecError(where, "the file holds no mapping.", fix=_WRITE_MAPPING)
    _check_keys(loaded)
    return loaded


def _parse(text: str, where: str) -> object:
    try:
        return _resolved(OmegaConf.create(text))
    except yaml.YAMLError as error:
        fix = "Check indentation, colons and quotes there."
        raise SpecError(where, f"not YAML: {_yaml_problem(error)}.", fix=fix) from None
    except RecursionError:
        raise SpecError(where, "nested too deeply.", fix=_WRITE_MAPPING) from None
    except AssertionError:  # how OmegaConf answers to a number
        return None
    except KeyValidationError:
        fix = "Write keys that are names or whole numbers."
        raise SpecError(where, "a key is null or no plain value.", fix=fix) from None
    except (OmegaConfBaseException, ValueError, OSError, TypeError) as error:
        problem, fix = _unusable(error, "Write plain YAML")
        raise SpecError(where, f"cannot be used: {problem}.", fix=fix) from None


def _resolved(tree: DictConfig | ListConfig) -> object:
    """Plain data with its references to own keys resolved; a call such as ${oc.env:HOME} is none.

    Raises:
        ValueError: there is a call.
    """
    for text in _strings(cast(object, OmegaConf.to_container(tree, resolve=False))):
        left, whole = text, ""
        while left != whole:  # a name may itself be made of references
            if call := _CALL.search(left):
                raise ValueError(f"{one_line(call[2])} is no key")
            left, whole = _REFERENCE.sub(r"\1", left), left
    return cast(object, OmegaConf.to_container(tree, resolve=True, throw_on_missing=True))


def _strings(value: object) -> Iterator[str]:
    """The string values of plain data."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in cast(list[object], value):
            yield from _strings(item)
    elif is_mapping(value):
        for item in value.values():
            yield from _strings(item)


def _reason(error: Exception) -> str:
    """What the system says of a path, without the path."""
    reason = error.strerror if isinstance(error, OSError) else None
    return reason or _first_line(error)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".:")


def _unusable(error: Exception, write: str) -> tuple[str, str]:
    """What is wrong with a value that cannot be read, and the fix."""
    problem = _first_line(error)
    if "integer string conversion" in problem:  # how Python refuses to read it
        return "a whole number has thousands of digits", "Write a shorter number."
    return problem, f"{write}; {_OWN_KEYS}"


def _yaml_problem(error: yaml.YAMLError) -> str:
    if not isinstance(error, yaml.MarkedYAMLError):
        return _first_line(error)
    mark = error.problem_mark
    line = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    return " ".join(str(error.problem or error.context).split()) + line


def parse_override(word: str) -> tuple[str, object]:
    """The dotted key and the value of one `key=value` of the command line.

    Raises:
        SpecError: no `=`, no key, one of several lines, or a value that is not YAML.
    """
    key, equals, text = word.partition("=")
    key = key.strip()
    if not equals or not key or not all(key.split(".")):
        fix = "Write for example dim=512 or block.memory.chunk_size=32."
        raise SpecError(one_line(word) or "''", "is not key=value.", fix=fix)
    try:
        loaded = cast(Raw, _resolved(OmegaConf.from_dotlist([f"value={text}"])))
    except (yaml.YAMLError, OmegaConfBaseException, ValueError, RecursionError) as error:
        problem, fix = _unusable(error, "Quote the value if it holds brackets or braces")
        shown = one_line(text) if len(text) < 60 else one_line(text[:57]) + "..."
        problem = f"{shown!r} is not a YAML value: {problem}."
        raise SpecError(one_line(key), problem, fix=fix) from None
    raw: Raw = {key: loaded["value"]}
    _check_keys(raw)
    return key, anchor_paths(raw, Path.cwd())[key]


def _check_keys(value: object) -> None:
    """Refuse keys of several lines: no field and no name is one."""
    if isinstance(value, list):
        for item in cast(list[object], value):
            _check_keys(item)
    elif is_mapping(value):
        for key, item in value.items():
            if _LINE_BREAKS.search(str(key)):
                raise SpecError(one_line(str(key)), "the key has line breaks.", fix=_ONE_LINE)
            try:
                _check_keys(item)
            except SpecError as error:
                raise error.under(str(key)) from None


def anchor_paths(raw: Raw, folder: Path) -> Raw:
    """A copy whose rule files and corpora are absolute, taken as relative to `folder`.

    Raises:
        SpecError: one of them can be no path; it names the key.
    """
    found: Raw = {}
    for key, value in raw.items():
        try:
            found[key] = _anchored(str(key).rpartition(".")[2], value, folder)
        except SpecError as error:
            raise error.under(str(key)) from None
    return found


def _anchored(name: str, value: object, folder: Path) -> object:
    if is_mapping(value):
        return anchor_paths(value, folder)
    if isinstance(value, list):
        return [_anchored(name, item, folder) for item in cast(list[object], value)]
    if not isinstance(value, str):
        return value
    if name == "kind" and ".py:" in value:
        return str(absolute(value, folder))
    if name in (*DATA_FIELDS, *MORE_DATA) and is_corpus_path(value):
        path = absolute(value, folder)
        return str(path) if path.exists() else value  # else the task looks where it may
    return value


def absolute(path: str, folder: Path) -> Path:
    """`path` as seen from `folder`, with `..` and `~` resolved.

    Raises:
        SpecError: it can be no path, such as one that is too long; the caller adds the key.
    """
    if _LINE_BREAKS.search(path):
        raise SpecError("", f"the path {one_line(path)!r} has line breaks.", fix=_ONE_LINE)
    try:
        found = (folder.expanduser().absolute() / Path(path).expanduser()).resolve()
        found.exists()  # a name that is too long is refused by the system
    except (OSError, ValueError, RuntimeError) as error:
        problem = f"{path!r} is no path: {_reason(error)}."
        raise SpecError("", problem, fix="Name a file that is there.") from None
    return found


def is_corpus_path(corpus: str) -> bool:
    """Whether a corpus or source is a file or folder, not a name."""
    made = corpus in (*EMBEDDED_CORPORA, "generated", "embedded")
    named = made or corpus.startswith("hf:")
    return bool(corpus) and not named


def one_line(text: str) -> str:
    """Text as an error quotes it: a space in place of line breaks."""
    return _LINE_BREAKS.sub(" ", text).strip()


def is_mapping(value: object) -> TypeGuard[Raw]:
    """Whether plain data is a mapping."""
    return isinstance(value, dict)
