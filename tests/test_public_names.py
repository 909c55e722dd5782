"""`import playground`: cheap, lazy, and sure of its neighbours."""

import pickle
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import FunctionType, ModuleType

import pytest

import playground
from playground._siblings import check_siblings
from playground.errors import ShadowedError

ROOT = Path(playground.__file__).parents[1]


def python(code: str, *path: Path) -> subprocess.CompletedProcess:
    lines = [f"import sys; sys.path[:0] = {[str(p) for p in (*path, ROOT)]!r}", code]
    command = [sys.executable, "-c", "\n".join(lines)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")


def test_importing_the_package_or_its_errors_imports_no_torch_and_no_yaml():
    code = "import playground, playground.errors; dir(playground)\n"
    done = python(code + "assert not {'torch', 'omegaconf', 'memory_rules'} & set(sys.modules)")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", sorted(playground.NAMES))
def test_every_public_name_resolves_to_what_its_module_holds(name):
    value = getattr(playground, name)
    assert value is getattr(import_module(playground.NAMES[name]), name)
    assert not isinstance(value, ModuleType)
    assert name in dir(playground)


def test_the_table_of_names_and_what_a_type_checker_sees_agree():
    source = Path(playground.__file__).read_text()
    seen = {line.split()[-1] for line in source.splitlines() if line.startswith("    from ")}
    assert seen == set(playground.NAMES)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'compose'"):
        _ = playground.compose


@pytest.mark.parametrize("first", ["playground.compile", "playground.compile.lowering"])
def test_compile_is_the_function_whatever_was_imported_before(first):
    code = f"import playground; import {first}\nfrom types import FunctionType\n"
    done = python(code + "assert isinstance(playground.compile, FunctionType), playground.compile")
    assert done.returncode == 0, done.stderr


def test_compile_stays_the_function_and_its_package_stays_importable():
    from playground.compile import build

    package = sys.modules["playground.compile"]
    playground.compile = package  # what the import system does
    assert isinstance(playground.compile, FunctionType)
    assert package.build is build is playground.build


def test_the_neighbours_in_this_folder_are_ours():
    check_siblings(ROOT / "playground")


def test_a_foreign_package_of_the_name_of_one_of_ours_is_named_with_the_fix(tmp_path):
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "__init__.py").write_text("raise SystemExit('was imported')")
    info = tmp_path / "kernels-0.4.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: kernels\nVersion: 0.4\n")
    (info / "top_level.txt").write_text("kernels\n")
    done = python("import playground", tmp_path)
    last = done.stderr.strip().splitlines()[-1]
    assert "ShadowedError: kernels: the distribution 'kernels'" in last
    assert "fresh environment" in last


def test_a_file_of_the_users_own_that_hides_one_of_ours_is_named(tmp_path):
    (tmp_path / "search.py").write_text("")
    done = python("import playground", tmp_path)
    assert f"at {tmp_path / 'search.py'} hides ours" in done.stderr


def test_a_distribution_installed_over_ours_is_found_out(tmp_path):
    for name in ("playground", "kernels-0.4.dist-info"):
        (tmp_path / name).mkdir()
    with pytest.raises(ShadowedError):
        check_siblings(tmp_path / "playground")


def test_the_package_can_be_pickled_as_functions_of_a_notebook_need():
    assert pickle.loads(pickle.dumps(playground)) is playground
