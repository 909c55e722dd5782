"""Specs broken in every way a hand can break them; also for the tests of the command line.

`mutations()` is deterministic. Each one is a set of files, the one to load, words beside it, and
what the error must mention. `of_every_kind` picks some, for what is too slow for all.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.spec.samples import files

SKIPPED = {"variants", "at"}  # mappings whose keys are free


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """One broken spec.

    Attributes:
        name: what is broken, readable as a test id.
        load: the file to load.
        files: file name -> content; only those that differ from the samples.
        words: `key=value` words.
        mentions: text that the error must hold, outside the name of the file it is in.
        kind: the way it is broken, shared by similar ones.
    """

    name: str
    load: str
    files: dict[str, bytes] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    mentions: str
    kind: str = ""

    def write(self, folder: Path) -> Path:
        """Put all files into a folder; the path of the one to load."""
        for name, content in files().items():
            (folder / name).write_text(json.dumps(content))
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
        return folder / self.load


def mutations() -> Iterator[Mutation]:
    """More than 200 broken specs."""
    for name in files():
        for make in (_unknown_keys, _wrong_types, _wrong_values, _missing):
            yield from _all_of(name, make(name))
    yield from _all_of("contradictions", _contradictions())
    yield from _broken_files()
    yield from _broken_words()
    yield from _all_of("sweeps", _broken_sweeps())


def of_every_kind(found: Iterable[Mutation], least: int = 3) -> list[Mutation]:
    """Every third of each kind, and `least` where there are as many; a kind of one is whole."""
    kinds: dict[str, list[Mutation]] = defaultdict(list)
    for mutation in found:
        kinds[mutation.kind].append(mutation)
    return [m for some in kinds.values() for m in some[:: max(1, min(3, len(some) // least))]]


def _all_of(kind: str, found: Iterable[Mutation]) -> Iterator[Mutation]:
    """The same ones, of a kind that goes by these words and by what each says of itself."""
    for mutation in found:
        yield replace(mutation, kind=f"{kind} {mutation.kind}".strip())


def _changed(file: str, path: tuple[str, ...], value: object, what: str, **more: str) -> Mutation:
    data = files()[file]
    node = data
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = value
    name = f"{file}: {'.'.join(path)} {what}"
    content = {file: json.dumps(data).encode()}
    return Mutation(
        name=name,
        load=file,
        files=content,
        mentions=more.get("mentions", path[-1]),
        kind=more.get("kind", ""),
    )


def _nodes(data: dict, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    for key, value in data.items():
        yield (*path, key), value
        if isinstance(value, dict):
            yield from _nodes(value, (*path, key))


def _unknown_keys(file: str) -> Iterator[Mutation]:
    for path, _ in _nodes(files()[file]):
        if path[-1] in ("kind", "M", "A", "0") or SKIPPED & set(path):
            continue
        wrong = path[-1][:-1] + "_" if len(path[-1]) > 3 else path[-1] + "x"
        yield _changed(file, (*path[:-1], wrong), 1, "is unknown", kind="unknown")


def _wrong_types(file: str) -> Iterator[Mutation]:
    for path, value in _nodes(files()[file]):
        if path[-1] in ("base", "vectorize") or (SKIPPED & set(path[:-1])):
            continue
        if isinstance(value, bool):
            wrong: object = "yes please"
        elif isinstance(value, int | float):
            wrong = "many"
        elif isinstance(value, str):
            wrong = 3
        elif isinstance(value, list):
            wrong = "a"
        else:
            wrong = [1]
        yield _changed(file, path, wrong, f"is {wrong!r}", kind=f"{wrong!r}")
        if not isinstance(value, dict | list):
            yield _changed(file, path, {"a": 1}, "is a mapping", kind="mapping")


def _wrong_values(file: str) -> Iterator[Mutation]:
    enough = {"corpus", "baseline", "metrics", "base", "at", "variants", "dropout", "seed"}
    for path, value in _nodes(files()[file]):
        if enough & set(path):
            continue
        if isinstance(value, str):
            yield _changed(file, path, "nonsense", "is not one of them", kind="nonsense")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield _changed(file, path, -3, "is negative", mentions="-3", kind="negative")
        if isinstance(value, int) and not isinstance(value, bool) and path[-1] != "pairs":
            yield _changed(file, path, 2.5, "is a fraction", mentions="2.5", kind="fraction")


def _missing(file: str) -> Iterator[Mutation]:
    for path in (("kind",), ("block",), ("model",), ("task",), ("base",), ("layers",)):
        data = files()[file]
        if path[0] in data:
            del data[path[0]]
            content = {file: json.dumps(data).encode()}
            name = f"{file}: no {path[0]}"
            yield Mutation(name=name, load=file, files=content, mentions=path[0], kind="missing")
    for path, value in _nodes(files()[file]):
        if isinstance(value, dict) and "kind" in value and path[-1] not in ("feedforward", "optim"):
            data = {key: item for key, item in value.items() if key != "kind"}
            if path[-1] != "model":
                yield _changed(file, path, data, "has no kind", mentions="kind", kind="missing")


def _contradictions() -> Iterator[Mutation]:
    model, memory, attention = "model.yaml", ("block", "memory"), ("block", "attention")
    both = {"pattern": "M", "M": {"kind": "attention"}}
    yield _changed(model, ("layers",), both, "beside block", mentions="block")
    yield _changed(model, ("dim",), 66, "does not divide", mentions="heads")
    yield _changed(model, (*memory, "heads"), 5, "does not divide")
    yield _changed(model, (*attention, "heads"), 64, "leaves odd heads")
    yield _changed(model, (*attention, "kv_heads"), 3, "does not divide heads")
    yield _changed(model, (*memory, "chunk_size"), 24, "does not divide segment_len", mentions="24")
    yield _changed(model, ("block", "segment_len"), 40, "is no multiple of chunk_size")
    delta = {"kind": "delta", "chunk_size": 16}
    yield _changed(model, memory, delta, "has no chunk_size", mentions="chunk_size")
    yield _changed(model, (*memory, "anchor"), "passes:x", "is no count")
    yield _changed(model, (*memory, "momentum"), "fixed:2", "is outside its range")
    yield _changed(model, (*memory, "kind"), "no/such.py:Rule", "is no file", mentions="such.py")
    yield _changed(model, (*memory, "kind"), "model.yaml:Rule", "is no Python", mentions="kind")
    hybrid = "hybrid.yaml"
    for pattern in ("", "0M", "M-A", "3M 1B", "3", "M,A"):
        yield _changed(hybrid, ("layers", "pattern"), pattern, f"is {pattern!r}")
    conv = {"kind": "conv"}
    for at in ({"4": conv}, {"-5": conv}, {"first": conv}, {"3": conv, "-1": conv}):
        yield _changed(hybrid, ("layers", "at"), at, f"is {list(at)}")
    run = "run.yaml"
    yield _changed(run, ("model", "vocab"), 100, "is below the task's")
    for split in ([0.5, 0.5], [0.9, 0.2, 0.1], [0.0, 0.5, 0.5], [1.2, -0.1, -0.1], ["a", "b", "c"]):
        yield _changed(run, ("task", "split"), split, f"is {split}")
    for betas in ([0.9], [0.9, 1.0], [-0.1, 0.9]):
        yield _changed(run, ("train", "optim", "betas"), betas, f"is {betas}")
    for warmup in (1_000_000, 2.5):
        yield _changed(run, ("train", "optim", "warmup"), warmup, f"is {warmup}")
    for tokenizer in ("byte", "hf:", ""):
        yield _changed(run, ("task", "tokenizer"), tokenizer, f"is {tokenizer!r}")
    for device in ("gpu", "cuda:", "cpu0"):
        yield _changed(run, ("device",), device, f"is {device!r}")


# content, and what the error must mention
BROKEN_FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "the file is empty"),
    "blank": (b" \n\n", "the file is empty"),
    "only a comment": (b"# nothing\n", "the file holds no mapping"),
    "binary": (bytes(range(256)), "the file is binary"),
    "a null byte": (b"kind: model\x00", "#x0000"),
    "a list": (b"- kind: model\n- dim: 3\n", "the file holds a list"),
    "a number": (b"42\n", "the file holds no mapping"),
    "prose": (b"a model with two layers\n", "the file holds no mapping"),
    "an open bracket": (b"kind: [model\n", "',' or ']'"),
    "a tab": (b"kind: model\n\tdim: 3\n", "line 2, column 1"),
    "a wrong indent": (b"kind: model\n  dim: 3\n", "line 2, column 6"),
    "two colons": (b"kind: model: run\n", "line 1, column 12"),
    "a key twice": (b"kind: model\ndim: 3\ndim: 4\n", "duplicate key dim in line 3"),
    "a Python object": (b"kind: !!python/object/apply:os.getcwd []\n", "os.getcwd"),
    "an unknown reference": (b"kind: model\ndim: ${width}\n", "'width'"),
    "a gap to fill": (b"kind: model\ndim: ???\n", "Missing mandatory value: dim"),
    "two documents": (b"kind: model\n---\nkind: run\n", "another document in line 2"),
    "a key that is null": (b"kind: model\n~: 3\n", "Write keys that are names"),
    "a key that is a number": (b"kind: model\n3: 4\n", "3: "),
    "an unknown alias": (b"kind: *model\n", "undefined alias"),
    "a huge number": (b"kind: model\ndim: " + b"9" * 5000 + b"\n", "Write a shorter number."),
    "infinity": (b"kind: model\ndim: .inf\n", "dim: inf"),
    "deep brackets": (b"[" * 5000, "not YAML"),
    "another kind": (b"kind: modle\n", "'modle'"),
    "a kind to come": (b"kind: bench\n", "models: "),
    "extends nothing": (b"extends: nowhere.yaml\n", "nowhere.yaml: there is no such file"),
    "extends itself": (b"extends: broken.yaml\n", "broken.yaml -> broken.yaml"),
    "extends a number": (b"extends: 3\n", "extends: 3"),
    "extends a run": (b"extends: run.yaml\nkind: model\n", "run.yaml is of kind run"),
    "extends an empty name": (b"extends: ''\n", "extends: ''"),
    "extends a folder": (b"extends: .\n", "directory"),
    "extends a typo": (b"extend: model.yaml\n", "kind: is missing"),
    "a child's typo": (
        b"extends: model.yaml\nblock: {memory: {chunk_sizes: 8}}\n",
        "block.memory.chunk_sizes: ",
    ),
    "a child's old key": (
        b"extends: model.yaml\nblock: {kind: lmm, segment_len: 8}\n",
        "block.segment_len: ",
    ),
    "an unknown child kind": (b"extends: model.yaml\nblock: {kind: macc}\n", "'macc'"),
    "a run as model": (
        b"kind: run\ntask: {kind: text}\nmodel: {extends: run.yaml}\n",
        "run.yaml is of kind run",
    ),
}


def _broken_files() -> Iterator[Mutation]:
    for what, (content, mentions) in BROKEN_FILES.items():
        name, file = f"file: {what}", {"broken.yaml": content}
        yield Mutation(name=name, load="broken.yaml", files=file, mentions=mentions, kind=name)
    around = {"a.yaml": b"extends: b.yaml\n", "b.yaml": b"extends: a.yaml\n"}
    others: tuple[tuple[str, str, dict[str, bytes], str], ...] = (
        ("file: missing", "nowhere.yaml", {}, "nowhere.yaml: there is no such file"),
        ("file: a folder", ".", {}, "directory"),
        ("file: a circle", "a.yaml", around, "a.yaml -> b.yaml"),
    )
    for name, load, made, mentions in others:
        yield Mutation(name=name, load=load, files=made, mentions=mentions, kind=name)


# words, and what the error must mention
BROKEN_WORDS: dict[str, dict[str, str]] = {
    "model.yaml": {
        "dim": "dim: is not key=value",
        "=3": "=3: is not key=value",
        "dim=": "dim: is null",
        "dim=wide": "dim: 'wide'",
        "dim=[1": "dim: '[1'",
        "dim={a: 1}": "dim: a mapping",
        "dim=${x}": "dim: '${x}'",
        "dimm=3": "dimm: ",
        ".dim=3": ".dim=3: is not key=value",
        "block..memory=3": "block..memory=3: is not key=value",
        "heads=3": "block.memory.heads",
        "chunksize=3": "chunksize: ",
        "memory.chunksize=3": "block.memory.chunksize: ",
        "memory.chunk_size=24": "24",
        "block.memory=titans": "block.memory: 'titans'",
        "block.memory.kind=titan": "'titan'",
        "block.memory.kind=my.py:Rule": "my.py",
        "dim.width=3": "it has no fields. Remove the last part",
        "layers.pattern=M": "layers: ",
        "task.kind=text": "task.kind: ",
        "block.kind=none block.memory.heads=2": "block.memory: Identity has no such field.\n",
    },
    "hybrid.yaml": {
        "block.memory.conv=2": "layers.M.memory.conv",
        "layers.at.9.kind=conv": "layers.at.9: ",
        "layers.patern=M": "layers.patern: ",
        "heads=1": "layers.M.memory.heads",
    },
    "run.yaml": {
        "lr=1": "train.optim.lr",
        "train.lr=1": "train.lr: ",
        "optim.lr=fast": "train.optim.lr: 'fast'",
        "seed=-1": "seed: -1",
        "train.steps=2000000000000": "train.steps: 2,000,000,000,000 never end",
        "model.vocab=10": "model.vocab: 10",
        "task.kind=a": "task.kind: 'a'",
    },
    "sweep.yaml": {
        "seeds=0": "seeds: 0",
        "seeds=[1,1]": "seeds: a seed is there twice",
        "variants.new.block.memory.convv=1": "variants.new.block.memory.convv: ",
        "dim=32": "dim: ",
    },
}


def _broken_words() -> Iterator[Mutation]:
    for file, broken in BROKEN_WORDS.items():
        for word, mentions in broken.items():
            name, parts = f"{file} {word}", (word,)
            if word.startswith("block.kind"):
                parts = tuple(word.split(" "))
            yield Mutation(name=name, load=file, words=parts, mentions=mentions, kind=name)


def _broken_sweeps() -> Iterator[Mutation]:
    variants: dict[str, object] = {
        "equal": {"block.memory.network": "mlp"},
        "empty": {},
        "twice": {"block.memory.conv": 0},
        "unknown": {"block.memory.convolution": 0},
        "nowhere": {"extends": "nowhere.yaml"},
        "a run": {"extends": "run.yaml"},
        "seeded": {"seed": 4},
        "wrong": {"block.memory.network": "mpl"},
        "impossible": {"dim": 30},
        "a list": [1],
        "a name": "mac.yaml",
        "too few": {"task.vocab": 512},
        "overlapping": {"block.memory": {"momentum": "none"}, "block.memory.momentum": "head"},
        "overlapping short": {"memory.conv": 0, "block.memory.conv": 2},
        "overlapping kinds": {"block.memory.kind": "delta", "block.memory": {"kind": "gla"}},
    }
    for name, variant in variants.items():
        yield _changed("sweep.yaml", ("variants", name), variant, "", mentions=name)
    for name in ("", " ", "a\nb"):
        yield _changed(
            "sweep.yaml",
            ("variants", name),
            {"dim": 32},
            f"is called {name!r}",
            mentions="variants",
        )
    bases = {"nowhere.yaml": "nowhere", "run.yaml": "run.yaml", "sweep.yaml": "extend each other"}
    for base, mentions in bases.items():
        yield _changed("sweep.yaml", ("base",), base, f"is {base}", mentions=mentions)
    for base in ({"extends": "model.yaml", "dimm": 3}, {"dim": 64}, {"extends": None}, 3, [1]):
        yield _changed("sweep.yaml", ("base",), base, f"is {base}", mentions="base")
    for grid in ({"block.memory.conv": []}, {"convv": [1, 2]}, {"dim": 3}, {"dim": [8, 8]}, [1]):
        yield _changed("sweep.yaml", ("grid",), grid, f"is {grid}")
    for rows in ({"dim": [8, 16], "depth": [1]}, {"dimm": [8]}, {"dim": 3}, {"dim": []}, [1]):
        yield _changed("sweep.yaml", ("zip",), rows, f"is {rows}")
    for places in ({"train.steps": []}, {"train.stepps": [2, 4]}, {"dim": 3}, [1]):
        yield _changed("sweep.yaml", ("across",), places, f"is {places}")
    tune = {"grid": {"train.optim.lr": [1e-3]}, "edge": "extnd"}
    yield _changed("sweep.yaml", ("tune",), tune, "has a wrong edge", mentions="edge")
    for match in ({"params": 0.02, "flops": 0.1}, {"by": "dim"}, {"params": 2.0}):
        yield _changed("sweep.yaml", ("match",), match, f"is {match}")
    yield _changed("sweep.yaml", ("variants",), {}, "are none")
