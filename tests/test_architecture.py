"""The one direction of imports, lazy optional parts, and sizes; docs/design.md has the table."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import playground

ROOT = Path(__file__).parents[1]
OURS = ("memory_rules", "kernels", "blocks", "playground", "search")
FILE_LINES, FUNCTION_LINES, KERNEL_LINES = 400, 40, 120
OPTIONAL = (
    "triton",
    "ray",
    "optuna",
    "xformers",
    "datasets",
    "tokenizers",
    "lm_eval",
    "fla",
    "titans_pytorch",
)
TORCH = ("torch", "tensordict")

# what the files of each layer may import of ours; a layer may always import itself
LAYERS: dict[str, tuple[str, ...]] = {
    "memory_rules": (),
    "kernels": (),
    "blocks": ("memory_rules",),
    "playground.errors": (),
    "playground.files": (),
    "playground._siblings": ("playground.errors",),
    "playground.spec": ("memory_rules", "blocks", "playground.errors"),
    "playground.compile": (
        "memory_rules",
        "blocks",
        "kernels",
        "playground.spec",
        "playground.errors",
    ),
    "playground.tasks": ("playground.spec", "playground.errors"),
    "playground.train": (
        "memory_rules",
        "blocks",
        "playground.spec",
        "playground.compile",
        "playground.tasks",
        "playground.errors",
        "playground.files",
    ),
    "playground.bench": (
        "memory_rules",
        "blocks",
        "playground.spec",
        "playground.compile",
        "playground.tasks",
        "playground.train",
        "playground.errors",
    ),
    "playground.harness": (
        "playground.spec",
        "playground.tasks",
        "playground.train",
        "playground.errors",
    ),
    "playground.report": ("playground.spec", "playground.errors", "playground.files"),
    "playground.cli": (
        "memory_rules",
        "blocks",
        "search",
        "playground",
    ),
    "playground.__main__": ("playground.cli",),
    "playground": ("memory_rules", "playground"),  # the lazy table of public names
    "search": ("playground",),
}
# between these a file imports the package, never a module inside it
NEIGHBOURS = ("playground.tasks", "playground.train", "playground.bench")
# numbers, tensors and nothing of ours: no rule may come to need a spec or a block
MATHEMATICS = {"memory_rules": ("torch", "tensordict", "safetensors", "pytest", "hypothesis")}


@dataclass(frozen=True)
class Import:
    """One imported module, or one name of it (`from module import name`)."""

    file: Path
    line: int
    module: str
    name: str
    inside: bool  # a function, or TYPE_CHECKING: not imported with the file

    def __str__(self) -> str:
        what = f"{self.module}.{self.name}" if self.name else self.module
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {what}"

    @property
    def top(self) -> str:
        return self.module.partition(".")[0]


def files() -> list[Path]:
    return sorted(p for package in OURS for p in (ROOT / package).rglob("*.py"))


def imports_of(file: Path) -> Iterator[Import]:
    def walk(node: ast.AST, inside: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(file, child.lineno, alias.name, "", inside)
            elif isinstance(child, ast.ImportFrom):
                assert not child.level, f"{file}:{child.lineno}: a relative import"
                for alias in child.names:
                    yield Import(file, child.lineno, child.module or "", alias.name, inside)
            function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            typing = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            yield from walk(child, inside or function or typing)

    yield from walk(ast.parse(file.read_text(encoding="utf-8")), False)


def layer_of(module: str) -> str:
    """The most particular layer that a module belongs to."""
    return max((name for name in LAYERS if within(module, name)), key=len, default="")


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def module_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


IMPORTS = [found for file in files() for found in imports_of(file)]


def test_imports_go_in_one_direction() -> None:
    wrong = []
    for found in IMPORTS:
        layer = layer_of(module_of(found.file))
        if found.top not in OURS or within(found.module, layer):
            continue
        if not any(within(found.module, package) for package in LAYERS[layer]):
            wrong.append(
                f"{found}; {layer} may import {', '.join(LAYERS[layer]) or 'none of ours'}"
            )
    assert not wrong, "\n".join(wrong)


def test_every_file_of_ours_lies_in_a_layer_of_the_table() -> None:
    lazy = ROOT / "playground" / "__init__.py"
    strays = [f for f in files() if layer_of(module_of(f)) in ("", "playground") and f != lazy]
    assert not strays


def test_tasks_train_and_bench_know_only_the_public_names_of_each_other() -> None:
    wrong = []
    for found in IMPORTS:
        layer = layer_of(module_of(found.file))
        other = layer_of(found.module)
        if {layer, other} <= set(NEIGHBOURS) and layer != other and found.module != other:
            wrong.append(str(found))
    assert not wrong, "\n".join(wrong)


def test_search_uses_the_public_names_of_playground_alone() -> None:
    wrong = [
        str(found)
        for found in IMPORTS
        if found.file.is_relative_to(ROOT / "search")
        and found.top == "playground"
        and (found.module != "playground" or found.name not in ("", *playground.NAMES))
    ]
    assert not wrong, "\n".join(wrong)


def test_only_the_command_line_imports_search() -> None:
    allowed = {"search", "playground.cli"}
    wrong = [
        str(f) for f in IMPORTS if f.top == "search" and layer_of(module_of(f.file)) not in allowed
    ]
    assert not wrong, "\n".join(wrong)


def test_the_mathematics_needs_nothing_but_tensors() -> None:
    import sys

    wrong = [
        str(found)
        for found in IMPORTS
        for package, allowed in MATHEMATICS.items()
        if found.file.is_relative_to(ROOT / package)
        and found.top not in (package, *allowed, *sys.stdlib_module_names)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("package", OPTIONAL)
def test_an_optional_part_is_imported_only_where_it_is_used(package: str) -> None:
    wrong = []
    for found in IMPORTS:
        if found.top != package:
            continue
        kernel = found.file.is_relative_to(ROOT / "kernels")
        if package == "triton" and kernel and found.file.name != "__init__.py":
            continue  # a kernel's own file is imported only when the kernel is asked for
        if package == "triton" or not found.inside:
            wrong.append(str(found))
    assert not wrong, "\n".join(wrong)


def test_importing_playground_or_its_command_line_imports_no_torch() -> None:
    light = [ROOT / "playground" / n for n in ("__init__.py", "errors.py", "_siblings.py")]
    light += sorted((ROOT / "playground" / "cli").glob("*.py"))
    verbs = {ROOT / "playground" / "cli" / f"{name}.py" for name in ("app", *_verbs())}
    wrong = [
        str(found)
        for found in IMPORTS
        if found.file in {*light[:3], *verbs} and not found.inside and found.top in TORCH
    ]
    assert not wrong, "\n".join(wrong)


def _verbs() -> tuple[str, ...]:
    from playground.cli.app import VERBS

    return VERBS


def test_only_the_command_line_prints() -> None:
    wrong = []
    for file in files():
        if file.is_relative_to(ROOT / "playground" / "cli"):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            called = node.func if isinstance(node, ast.Call) else None
            if isinstance(called, ast.Name) and called.id == "print":
                wrong.append(f"{file.relative_to(ROOT)}:{called.lineno} prints")
    assert not wrong, "\n".join(wrong)


def test_no_file_is_longer_than_400_lines() -> None:
    sizes = {f.relative_to(ROOT): len(f.read_text(encoding="utf-8").splitlines()) for f in files()}
    long = [f"{file}: {size} lines" for file, size in sizes.items() if size > FILE_LINES]
    assert not long, "\n".join(long)


def test_no_function_is_longer_than_40_lines() -> None:
    long = []
    for file in files():
        limit = KERNEL_LINES if file.is_relative_to(ROOT / "kernels") else FUNCTION_LINES
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                size = (node.end_lineno or node.lineno) - node.lineno + 1
                if size > limit:
                    long.append(f"{file.relative_to(ROOT)}:{node.lineno} {node.name}: {size} lines")
    assert not long, "\n".join(long)
