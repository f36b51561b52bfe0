"""The structure of the package: the order of its packages, no cycle between files, nothing loose at the root."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import cosmos_exp

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "cosmos_exp"

ORDER = (
    "common",
    "sensors",
    "scene",
    "rendering",
    "carla_sim",
    "controls",
    "llm",
    "guardrails",
    "captions",
    "evaluators",
    "metrics",
    "sampling",
    "filtering",
    "remote",
    "models",
    "runs",
    "tracking",
    "config",
    "pipeline",
    "serving",
    "sweeps",
    "train",
    "verify",
    "visualization",
    "cli",
)
"""A package imports those before it. Data flows in this order too."""


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Path]:
    paths = (path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] != "conf")
    return {module_name(path): path for path in paths}


@cache
def imports() -> dict[str, set[str]]:
    """{module: modules of ours that it imports}, inside functions and for type checkers too."""
    return {name: set(_imported(path)) - {name} for name, path in modules().items()}


def _imported(path: Path) -> Iterator[str]:
    yield from _imported_by(ast.parse(path.read_text()))


def _imported_by(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "cosmos_exp":
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in modules() else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules())
        elif isinstance(node, ast.Constant) and node.value in modules() and not is_package(str(node.value)):
            yield str(node.value)  # a module named for import_module


def loaded_with(module: str) -> set[str]:
    """Modules of ours that importing one imports, not those that functions import."""
    found, waiting = {module}, [module]
    while waiting:
        for node in ast.parse(modules()[waiting.pop()].read_text()).body:
            new = set(_imported_by(node)) - found if isinstance(node, (ast.Import, ast.ImportFrom)) else set()
            found |= new
            waiting += new
    return found


def is_package(module: str) -> bool:
    return modules()[module].name == "__init__.py"


def package_of(module: str) -> str:
    return (module.split(".") + [""])[1]


def test_every_package_is_in_the_order() -> None:
    found = {path.parent.name for path in PACKAGE.glob("*/__init__.py") if path.parent.name != "conf"}
    assert found == set(ORDER)


def test_nothing_stands_loose_at_the_root() -> None:
    assert {path.name for path in PACKAGE.glob("*.py")} == {"__init__.py", "__main__.py"}


@pytest.mark.parametrize("package", ORDER)
def test_a_package_imports_only_those_before_it(package: str) -> None:
    allowed = ORDER[: ORDER.index(package) + 1]
    wrong = [
        f"{module} imports {other}"
        for module, others in imports().items()
        if package_of(module) == package
        for other in others
        if package_of(other) not in (*allowed, "")
    ]
    assert wrong == []


def test_no_file_imports_itself_by_way_of_others() -> None:
    graph = {module: others for module, others in imports().items() if module != "cosmos_exp"}  # the front door
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a cycle: {' <- '.join(error.args[1])}")


def test_a_model_loads_the_text_encoder_only_where_it_encodes() -> None:
    loaded = loaded_with("cosmos_exp.models.transfer1.model")
    assert "cosmos_exp.models.transfer1.tokenizer" in loaded
    assert "cosmos_exp.models.transfer1.text" not in loaded


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("__init__.py")), ids=lambda path: path.parent.name)
def test_every_package_says_what_it_holds(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_the_names_of_the_front_door_are_those_that_type_checkers_see() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name: node.module for node in guarded.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert seen == cosmos_exp._HOMES
    for name in cosmos_exp._HOMES:
        assert getattr(cosmos_exp, name) is not None


def test_hydras_internals_stand_in_one_module() -> None:
    places = [path for folder in (PACKAGE, ROOT / "hydra_plugins") for path in folder.rglob("*.py")]
    using = {path.relative_to(ROOT).as_posix() for path in places if "hydra._internal" in path.read_text()}
    assert using == {"cosmos_exp/config/hydra_internals.py"}
