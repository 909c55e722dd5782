"""From a YAML file and `key=value` words to a spec.

Order: defaults of the dataclasses <- `extends` files <- this file <- the words. A path inside a
YAML is relative to that YAML, in a word to the working folder.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

from playground.errors import SpecError
from playground.spec.bench import BenchSpec
from playground.spec.convert import convert
from playground.spec.expand import evaluations
from playground.spec.merge import apply, merge
from playground.spec.model import ModelSpec
from playground.spec.raw import Raw, absolute, is_mapping, one_line, parse_override, read_file
from playground.spec.run import RunSpec
from playground.spec.search import SearchSpec
from playground.spec.sweep import SweepSpec
from playground.spec.words import Models, apply_words

Spec = ModelSpec | RunSpec | SweepSpec | SearchSpec | BenchSpec
S = TypeVar("S", bound=ModelSpec | RunSpec | SweepSpec | SearchSpec | BenchSpec)

KINDS: dict[str, type[Spec]] = {
    cls.kind: cls for cls in (ModelSpec, RunSpec, SweepSpec, SearchSpec, BenchSpec)
}
COMMAND_LINE = "key=value on the command line"


@dataclass(frozen=True, kw_only=True)
class Document:
    """A file with everything it extends: the merged data, and who wrote which part."""

    kind: str
    raw: Raw
    layers: tuple[tuple[str, Raw], ...]  # (file, its data), the lowest first

    def below(self, key: str) -> "Document":
        """The same, as the value of `key` of a larger spec."""
        layers = tuple((file, cast(Raw, {key: raw})) for file, raw in self.layers)
        return Document(kind=self.kind, raw={key: self.raw}, layers=layers)

    def blame(self, error: SpecError) -> SpecError:
        """The error with the file in which its path was written last."""
        parts = error.path.split(".")
        file, depth = self.layers[-1][0], 0
        for name, raw in reversed(self.layers):
            reached = _depth(raw, parts)
            if reached > depth:
                file, depth = name, reached
        return error.under("", file)


def _depth(raw: object, parts: list[str]) -> int:
    for count, part in enumerate(parts):
        if not is_mapping(raw):
            return count
        key = next((key for key in raw if str(key) == part), None)
        if key is None:
            return count
        raw = raw[key]
    return len(parts)


def load(path: str | Path, *overrides: str) -> Spec:
    """The spec in a YAML file (or in the folder of an exported model), with overrides.

    Args:
        path: the file; its `kind` says which spec it is.
        overrides: `key=value` words; a key is a full dotted path or the end of exactly one.

    Raises:
        SpecError: naming path, problem and fix; nothing else is raised for bad input.
    """
    document = _document(_file(path), ())
    return _finish(KINDS[document.kind], document, overrides)


def load_run(path: str | Path, *overrides: str) -> RunSpec:
    """A run from its YAML, or from a model's YAML with `task.kind=text` and the like.

    Raises:
        SpecError: as `load`; also when the file is a sweep.
    """
    document = _document(_file(path), ())
    if document.kind == ModelSpec.kind:
        document = document.below("model")
    elif document.kind != RunSpec.kind:
        problem = f"is of kind {document.kind}; a run or a model is needed."
        fix = f"Use `playground {document.kind}`, or name another file."  # verbs have their names
        raise SpecError(str(path), problem, fix=fix)
    return _finish(RunSpec, document, overrides)


def load_model(path: str | Path, *overrides: str) -> ModelSpec:
    """The model of a model's or a run's YAML.

    Raises:
        SpecError: as `load`; also when the file is a sweep.
    """
    document = _document(_file(path), ())
    if document.kind == RunSpec.kind:
        return _finish(RunSpec, document, overrides).model
    _expect(document, ModelSpec.kind, str(path))
    return _finish(ModelSpec, document, overrides)


def _file(path: str | Path) -> Path:
    try:
        file = Path(path).expanduser()
        inside = file / "spec.yaml"
        return inside if inside.is_file() else file
    except (OSError, RuntimeError):  # too long, no such user: reading it says so
        return Path(path)


def _finish(cls: type[S], document: Document, words: Iterable[str]) -> S:
    overrides = [parse_override(word) for word in words]
    below = "model" if cls is RunSpec else ""
    try:
        raw, said = apply_words(cls, document.raw, overrides, below=below, models=_named(cls))
        if cls is BenchSpec:  # a word may name models and rules too
            raw, _ = _benched(raw, Path.cwd(), ())
    except SpecError as error:
        raise error.under("", COMMAND_LINE) from None
    words_layers = tuple((COMMAND_LINE, one) for one in said)
    layered = Document(kind=document.kind, raw=raw, layers=document.layers + words_layers)
    try:
        spec = convert(cls, raw)
        if isinstance(spec, SweepSpec):
            _ = spec.checked
        elif isinstance(spec, SearchSpec):
            spec.first()
        elif isinstance(spec, RunSpec):
            evaluations(spec)
    except SpecError as error:
        raise layered.blame(error) from None
    return spec


def _named(cls: type) -> Models:
    """Reads what a word names by its file: a run's model, a comparison's base or variant."""

    def read(key: str, value: object) -> object:
        if cls is RunSpec and key == "model" and _names_model(value):
            return _model_at(key, value, Path.cwd(), ()).raw
        whole = key == "base" or (key.startswith("variants.") and key.count(".") == 1)
        if cls in (SweepSpec, SearchSpec) and whole and _names_model(value):
            return _compared(key, value, Path.cwd(), ())
        return None

    return read


def _document(path: Path, chain: tuple[Path, ...]) -> Document:
    """A file merged onto what it extends; `chain` are the files that led here."""
    path = path.absolute().resolve()
    if path in chain:
        names = " -> ".join(file.name for file in (*chain, path))
        fix = "Remove one of these extends."
        problem = f"the files extend each other: {names}."
        raise SpecError("extends", problem, fix=fix, file=str(path))
    raw = read_file(path)
    try:
        return _onto_parents(raw, path, (*chain, path))
    except SpecError as error:
        raise error.under("", str(path)) from None


def _onto_parents(raw: Raw, path: Path, chain: tuple[Path, ...]) -> Document:
    own = {key: value for key, value in raw.items() if key != "extends"}
    parents = _parents(raw, path.parent, chain)
    kind = own.get("kind", parents[0].kind if parents else None)
    if kind is None:
        raise SpecError("kind", "is missing.", allowed=KINDS, fix="Say what this file describes.")
    if not isinstance(kind, str) or kind not in KINDS:
        raise SpecError(
            "kind", f"{kind!r} is not an allowed value.", allowed=KINDS, found=str(kind)
        )
    for parent in parents:
        _expect(parent, kind, "extends")
    below: object = {}
    for parent in parents:
        below = merge(KINDS[kind], below, parent.raw)
    own, inner = _models_inside(kind, own, path.parent, chain)
    merged = merge(KINDS[kind], _without_replaced(cast(Raw, below), own), own)
    layers = tuple(layer for parent in parents for layer in parent.layers)
    return Document(kind=kind, raw=cast(Raw, merged), layers=(*layers, *inner, (str(path), own)))


def _parents(raw: Raw, folder: Path, chain: tuple[Path, ...]) -> list[Document]:
    """The documents that `extends` names: a path, several, or an inline spec."""
    extends = raw.get("extends", [])
    if is_mapping(extends):
        return [_onto_parents({"kind": ModelSpec.kind, **extends}, folder / "inline", chain)]
    names = cast(list[object], extends) if isinstance(extends, list) else [extends]
    found: list[Document] = []
    for name in names:
        if not isinstance(name, str) or not name:
            problem = f"{name!r} is not a path."
            raise SpecError("extends", problem, fix="Write a path relative to this file.")
        try:
            file = absolute(name, folder)
        except SpecError as error:
            raise error.under("extends") from None
        try:
            found.append(_document(file, chain))
        except SpecError as error:
            if error.path != one_line(str(file)):
                raise
            problem = f"{error.path}: {error.problem}"
            raise SpecError("extends", problem, fix=error.fix) from None
    return found


def _expect(document: Document, kind: str, where: str) -> None:
    if document.kind != kind:
        problem = f"{document.layers[-1][0]} is of kind {document.kind}, not {kind}."
        raise SpecError(where, problem, fix=f"Name a file of kind {kind}.")


def _models_inside(
    kind: str, own: Raw, folder: Path, chain: tuple[Path, ...]
) -> tuple[Raw, tuple[tuple[str, Raw], ...]]:
    """Replace each model that is named by path, or extends one, by its merged data."""
    if kind == RunSpec.kind and _names_model(own.get("model")):
        inner = _model_at("model", own["model"], folder, chain)
        return {**own, "model": inner.raw}, inner.below("model").layers
    if kind == BenchSpec.kind:
        return _benched(own, folder, chain)
    if kind in (SweepSpec.kind, SearchSpec.kind):
        own = dict(own)
        if "base" in own:
            own["base"] = _compared("base", own["base"], folder, chain)
        variants = own.get("variants")
        if is_mapping(variants):
            own["variants"] = {
                name: _compared(f"variants.{name}", variant, folder, chain)
                for name, variant in variants.items()
            }
    return own, ()


def _benched(
    own: Raw, folder: Path, chain: tuple[Path, ...]
) -> tuple[Raw, tuple[tuple[str, Raw], ...]]:
    """A bench's models read, by name, and its rules as mappings."""
    own, layers = dict(own), list[tuple[str, Raw]]()
    models = _by_name(own.get("models", {}))
    if is_mapping(models):
        found: Raw = {}
        for name, value in models.items():
            inner = _model_at(f"models.{name}", value, folder, chain)
            found[str(name)] = inner.raw
            layers += inner.below(str(name)).below("models").layers
        models = found
    own["models"] = models
    rules = own.get("rules")
    if isinstance(rules, list):
        try:
            own["rules"] = [_rule(rule, folder) for rule in cast(list[object], rules)]
        except SpecError as error:
            raise error.under("rules") from None
    return own, tuple(layers)


def _rule(rule: object, folder: Path) -> object:
    """A rule of a bench as a mapping, its file absolute."""
    if not isinstance(rule, str):
        return rule
    return {"kind": str(absolute(rule, folder)) if ".py:" in rule else rule}


def _by_name(models: object) -> object:
    """A list of paths as a mapping by the files' names."""
    if not isinstance(models, list):
        return models
    found: Raw = {}
    fix = "Write models: {name: {extends: PATH, dim: 64}}."
    for value in cast(list[object], models):
        if not isinstance(value, str):
            raise SpecError("models", f"{value!r} is not a path.", fix=fix)
        if Path(value).stem in found:
            problem = f"two of them are called {Path(value).stem!r}."
            raise SpecError("models", problem, fix=fix)
        found[Path(value).stem] = value
    return found


def _names_model(value: object) -> bool:
    return isinstance(value, str) or (is_mapping(value) and "extends" in value)


def _model_at(path: str, value: object, folder: Path, chain: tuple[Path, ...]) -> Document:
    """The model of `PATH` or `{extends: PATH, key: value, ...}`, keys nested or dotted."""
    written: Raw = value if is_mapping(value) else {"extends": value}
    plain = {key: item for key, item in written.items() if "." not in str(key)}
    dotted = [(key, item) for key, item in written.items() if "." in str(key)]
    try:
        document = _onto_parents({"kind": ModelSpec.kind, **plain}, folder / "inline", chain)
        raw = apply(ModelSpec, document.raw, dotted)
    except SpecError as error:
        raise error.under(path) from None
    layers = (layer for layer in document.layers if Path(layer[0]).name != "inline")
    return Document(kind=ModelSpec.kind, raw=raw, layers=tuple(layers))


def _compared(path: str, value: object, folder: Path, chain: tuple[Path, ...]) -> object:
    """A sweep's base or variant with the model it extends read and checked."""
    inline = is_mapping(value) and value.get("kind") == ModelSpec.kind and "extends" not in value
    if isinstance(value, str) or inline:
        value = {"extends": value}
    if not is_mapping(value) or value.get("extends") is None:
        return value
    model = _model_at(path, {"extends": value["extends"]}, folder, chain)
    try:
        convert(ModelSpec, model.raw)
    except SpecError as error:
        raise (model.blame(error) if model.layers else error).under(path) from None
    return {**value, "extends": model.raw}


def _without_replaced(below: Raw, own: Raw) -> Raw:
    """What is inherited, without the models that `own` replaces as a whole."""
    kept = dict(below)
    for key in ("model", "base"):
        if _names_model(own.get(key)):
            kept.pop(key, None)
    old, new = kept.get("variants"), own.get("variants")
    if is_mapping(old) and is_mapping(new):
        kept["variants"] = {n: v for n, v in old.items() if not _names_model(new.get(n))}
    old, new = kept.get("models"), own.get("models")
    if is_mapping(old) and is_mapping(new):  # those were read and are whole
        kept["models"] = {n: v for n, v in old.items() if n not in new}
    return kept
