"""The house rules: imports only go down, a file is a room of one purpose, optional packages stay optional."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "skmtl"
FILES = sorted(path for folder in ("skmtl", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py"))
MODULES = [path for path in FILES if PACKAGE in path.parents]

#: A new module gets its floor here. A package's name stands for everything inside it.
FLOOR = {
    "losses": 1,
    "intercepts": 0,
    "penalties": 1,
    "tasks": 1,
    "target_columns": 1,
    "targets": 1,
    "whole_columns": 1,
    "matrix": 1,
    "row_blocks": 1,
    "observations": 1,
    "datasets": 1,
    "evidence": 1,
    "optional": 1,
    "objective": 2,
    "inputs": 2,
    "predictors": 2,
    "scoring": 2,
    "single_task": 2,
    "task_scores": 2,
    "importances": 2,
    "solvers": 3,
    "tuning": 4,
    "shared_layer": 4,
    "model_selection": 3,
    "estimators": 4,
    "transfer": 4,
    "command": 5,
    "relatedness": 4,
    "displays": 5,
    "__main__": 5,
}
ROOF = 6  # skmtl/__init__.py sees everything, and nobody imports from it
REQUIRED = {"numpy", "scipy", "sklearn", "joblib", "threadpoolctl"}  # as scikit-learn itself
TESTING = {"pytest", "hypothesis", "pandas"}  # installed wherever the tests run, also beside the oldest stack
MAX_LINES = 450


def module_name(path: Path) -> str:
    """Dotted name of a file of the package: ``skmtl/inputs/__init__.py`` is ``skmtl.inputs``."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {module_name(path) for path in MODULES}


def floor_of(module: str) -> int:
    parts = module.split(".")
    return ROOF if len(parts) == 1 else FLOOR[parts[1]]


def imports(tree: ast.AST, package: str) -> list[tuple[str, str]]:
    """(module, imported name or "") of every import statement below `tree`, at any depth."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")
                base = ".".join([*above[: len(above) - node.level + 1], *filter(None, [base])])
            found += [(base, alias.name) for alias in node.names]
    return found


def imports_of(path: Path) -> list[tuple[str, str]]:
    name = module_name(path)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    return imports(ast.parse(path.read_text(encoding="utf-8")), package)


def own_imports(path: Path) -> set[str]:
    """Modules of skmtl that a file imports; ``from skmtl import tasks`` is ``skmtl.tasks``."""
    pairs = [(base, name) for base, name in imports_of(path) if base.split(".")[0] == "skmtl"]
    return {f"{base}.{name}" if f"{base}.{name}" in NAMES else base for base, name in pairs}


def imports_on_loading(path: Path) -> set[str]:
    """Top-level packages outside skmtl and the standard library that importing the file loads."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        runs_later = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if runs_later or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
            node.body = []
    packages = {base.split(".")[0] for base, _ in imports(tree, "skmtl")}
    return packages - set(sys.stdlib_module_names) - {"skmtl"}


@pytest.fixture(params=MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def module(request) -> Path:
    """Every file of the package in turn."""
    return request.param


@pytest.fixture(params=FILES, ids=lambda path: str(path.relative_to(ROOT)))
def file(request) -> Path:
    """Every Python file of the project in turn."""
    return request.param


def test_every_module_has_a_floor(module):
    parts = module_name(module).split(".")
    assert len(parts) == 1 or parts[1] in FLOOR, f"{module_name(module)}: assign it a floor in {__file__}"


def test_imports_go_down(module):
    name = module_name(module)
    up = sorted(target for target in own_imports(module) if floor_of(target) > floor_of(name))
    assert not up, f"{name} (floor {floor_of(name)}) imports from above: {up}"


def test_no_import_cycle_between_modules():
    graph = {module_name(path): own_imports(path) for path in MODULES}
    tuple(TopologicalSorter(graph).static_order())  # raises CycleError


def test_only_required_packages_are_loaded(module):
    assert imports_on_loading(module) <= REQUIRED


@pytest.mark.parametrize("path", sorted((ROOT / "tests").glob("*.py")), ids=lambda path: path.name)
def test_tests_skip_where_an_optional_package_is_not_there(path):
    # pytest.importorskip at the top of the file, or inside the test that needs the package.
    beside = {other.stem for other in path.parent.glob("*.py")}
    assert imports_on_loading(path) <= REQUIRED | TESTING | beside


def test_floor_one_knows_only_numpy_and_scipy(module):
    name = module_name(module)
    if floor_of(name) == 1:
        names = {f"{base}.{what}" for base, what in imports_of(module)}
        sklearn_names = {what for what in names if what.startswith("sklearn")}
        # The data generators keep scikit-learn's convention for `random_state` and its Bunch.
        allowed = {"sklearn.utils.Bunch", "sklearn.utils.check_random_state"}
        assert sklearn_names <= (allowed if name.startswith("skmtl.datasets") else set())
        assert imports_on_loading(module) <= {"numpy", "scipy", "sklearn"}


def test_only_public_names_of_other_packages(module):
    outside = [pair for pair in imports_of(module) if pair[0].split(".")[0] not in {"skmtl", "__future__"}]
    private = [pair for pair in outside if any(part.startswith("_") for part in ".".join(pair).split(".") if part)]
    assert not private


def test_opens_by_saying_what_it_is_for(file):
    assert ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))


def test_is_a_room_not_a_hall(file):
    n_lines = len(file.read_text(encoding="utf-8").splitlines())
    assert n_lines <= MAX_LINES


def test_name_says_a_purpose(file):
    assert file.stem not in {"utils", "util", "helpers", "common", "misc"}


def test_the_package_loads_where_no_optional_package_is():
    optional = ["pandas", "polars", "pyarrow", "matplotlib", "rich", "skops", "skl2onnx", "onnxruntime"]
    code = f"import sys; sys.modules.update(dict.fromkeys({optional})); import skmtl, skmtl.datasets"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
