"""The plan of the house: who may import whom, what is heavy and waits, and how fast help is there."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import collapse_bench
import collapse_bench.plugins

PACKAGE = Path(collapse_bench.__file__).parent
PLUGINS = Path(collapse_bench.plugins.__path__[0])
ROOT = "collapse_bench"

#: a file imports from its own floor and from those below, never from one above; a package stands for all its files
FLOORS = [
    "errors budget figures nested streams spec decoding stats arithmetic readers sources texts tokens theory measures pools pulse training "
    "layers features corpus",
    "nouns objectives neural pretrained networks claims ledger selection mixing grams resampling detection gaussians generative diffusion "
    "mixtures regression classification "
    "tables images language",
    "taps protocols lift wrapping hookspecs plugins suites",
    "cell registry",
    "engine suite checkpoint store archive runner verify",
    "executors checks board",
    "reproduce",
    "api",
    "cli __init__",
]
HEAVY = {
    "transformers",
    "datasets",
    "sklearn",
    "tokenizers",
    "sacrebleu",
    "spacy",
    "sentence_transformers",
}  # never at the top of a file
FACE = {"click", "rich", "jinja2", "matplotlib", "pandas", "pyarrow", "pydantic"}  # not in the loop, nor in a plugin
FLOOR = {name: i for i, names in enumerate(FLOORS) for name in names.split()}


@cache
def modules() -> dict[str, Path]:
    """Every module of the house by its dotted name."""
    found = {}
    for folder, prefix in ((PACKAGE, ROOT), (PLUGINS, f"{ROOT}.plugins")):
        for path in sorted(folder.rglob("*.py")):
            parts = [prefix, *path.relative_to(folder).with_suffix("").parts]
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


def place(module: str) -> str:
    """The file or package of the ground plan that a module belongs to."""
    return module.split(".")[1] if module != ROOT else "__init__"


class Imports(ast.NodeVisitor):
    """(module, line, inside a function) of every import; what only a type checker reads is none."""

    def __init__(self, module: str, path: Path):
        self.module, self.package = module, module if path.name == "__init__.py" else module.rpartition(".")[0]
        self.found: list[tuple[str, int, bool]] = []
        self.depth = 0
        self.visit(ast.parse(path.read_text()))

    def visit_If(self, node):
        names = {getattr(part, "id", getattr(part, "attr", "")) for part in ast.walk(node.test)}
        for child in node.orelse if "TYPE_CHECKING" in names else [node.test, *node.body, *node.orelse]:
            self.visit(child)

    def visit_FunctionDef(self, node):
        self.depth += 1
        self.generic_visit(node)
        self.depth -= 1

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Import(self, node):
        self.found += [(alias.name, node.lineno, self.depth > 0) for alias in node.names]

    def visit_ImportFrom(self, node):
        above = self.package.rsplit(".", node.level - 1)[0] if node.level else ""
        base = ".".join(filter(None, (above, node.module)))
        for alias in node.names:
            inner = f"{base}.{alias.name}"
            self.found.append((inner if inner in modules() else base, node.lineno, self.depth > 0))


@cache
def imports(module: str) -> tuple[tuple[str, int, bool], ...]:
    return tuple(Imports(module, modules()[module]).found)


def own(module: str) -> set[str]:
    """Modules of the house that a module imports, anywhere in it."""
    return {target for target, _, _ in imports(module) if target.split(".")[0] == ROOT}


def outside(module: str, inside_functions: bool = True) -> set[str]:
    """Packages from elsewhere that a module imports."""
    return {target.split(".")[0] for target, _, deep in imports(module) if inside_functions or not deep} - {ROOT}


MODULES = sorted(modules())
PLUGIN_MODULES = [m for m in MODULES if m.startswith(f"{ROOT}.plugins.") and modules()[m].name != "__init__.py"]


# -- floors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", MODULES)
def test_a_file_has_a_floor_and_imports_from_below(module):
    assert place(module) in FLOOR, f"give {place(module)} a floor in this test, as low as its imports allow"
    above = {target for target in own(module) if FLOOR.get(place(target), 99) > FLOOR[place(module)]}
    assert not above, f"{module} imports {', '.join(sorted(above))} from a floor above its own"


def test_no_import_runs_in_a_circle():
    done: set[str] = set()

    def walk(module, trail):
        assert module not in trail, " -> ".join([*trail[trail.index(module) :], module])
        if module not in done:
            for target in sorted(own(module) & set(MODULES)):
                walk(target, [*trail, module])
            done.add(module)

    for module in MODULES:
        walk(module, [])


@pytest.mark.parametrize("module", PLUGIN_MODULES)
def test_a_plugin_imports_no_other_plugin(module):
    others = {target for target in own(module) if place(target) == "plugins"}
    assert not others, (
        f"{module} imports {', '.join(sorted(others))}; what two plugins share is promoted to the ground floor"
    )


def test_the_harness_knows_no_plugin():
    for module in MODULES:
        if place(module) != "plugins":
            assert not any(place(target) == "plugins" for target in own(module)), module


def test_the_loop_knows_no_names_files_or_plugins():
    for module in ("engine", "cell", "taps", "corpus", "nouns", "lift", "ledger"):
        known = own(f"{ROOT}.{module}") | outside(f"{ROOT}.{module}")
        assert not known & {"pluggy", "importlib", f"{ROOT}.registry", f"{ROOT}.hookspecs"}, module
    assert not outside(f"{ROOT}.engine") & {"pathlib", "os", "io", "json", "pickle"}


def test_the_registry_knows_no_tensors():
    assert not outside(f"{ROOT}.registry") & {"torch", "numpy"}


def test_hookspecs_know_cells_as_a_word_only():
    assert own(f"{ROOT}.hookspecs") == set()


def test_the_spec_knows_no_plugin():
    assert own(f"{ROOT}.spec") == {f"{ROOT}.errors"}


@pytest.mark.parametrize("module", MODULES)
def test_only_the_registry_and_the_hookspecs_know_pluggy(module):
    if place(module) not in ("registry", "hookspecs"):
        assert "pluggy" not in outside(module)


# -- what is heavy waits --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", MODULES)
def test_heavy_packages_are_imported_when_used(module):
    heavy = outside(module, inside_functions=False) & HEAVY
    assert not heavy, f"{module} imports {', '.join(heavy)} at its top; do it in the function that needs it"


@pytest.mark.parametrize("module", MODULES)
def test_the_loop_and_the_plugins_need_no_face(module):
    if FLOOR.get(place(module), 99) <= FLOOR["engine"] and place(module) not in ("suite", "store", "archive", "runner"):
        assert not outside(module) & FACE


def run(script: str, cwd: Path | None = None) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=cwd, check=False)


@pytest.mark.parametrize("name", ["collapse_bench", "collapse_bench.cli"])
@pytest.mark.parametrize("heavy", ["torch", "numpy", "pandas", "transformers", "datasets", "sklearn", "scipy"])
def test_the_command_line_starts_light(name, heavy):
    done = run(f"import {name}, sys; assert '{heavy}' not in sys.modules, '{heavy}'")
    assert done.returncode == 0, done.stderr


def test_the_loop_starts_without_a_face():
    """All plugins loaded and nothing run: no plotting, no tables, no hub."""
    done = run("from collapse_bench import engine, registry; import sys; registry.registry(); print(*sys.modules)")
    assert done.returncode == 0, done.stderr
    assert not set(done.stdout.split()) & (HEAVY | {"pandas", "matplotlib", "rich", "pyarrow"})


def cpu_seconds(command: list[str]) -> float:
    """User and system time of a child."""
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said = child.stdout.read()
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0, said.decode()
    assert b"Usage: collapse-bench" in said
    return used.ru_utime + used.ru_stime


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="needs the resource usage of a child")
def test_help_is_there_at_once():
    command = Path(sys.executable).with_name("collapse-bench")
    start = (
        [str(command)] if command.exists() else [sys.executable, "-c", "from collapse_bench.cli import main; main()"]
    )
    assert min(cpu_seconds([*start, "--help"]) for _ in range(3)) < 0.3


# -- small habits ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", MODULES)
def test_a_file_says_first_what_lives_there(module):
    tree = ast.parse(modules()[module].read_text())
    said = ast.get_docstring(tree)
    assert said, f"{module} has no docstring"
    assert said.splitlines()[0].endswith((".", "?", ":")), f"{module}: the first line is to be a sentence"


@pytest.mark.parametrize("module", PLUGIN_MODULES)
def test_a_plugin_is_found_by_its_hook(module):
    tree = ast.parse(modules()[module].read_text())
    hooks = [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("collapse_")]
    assert hooks or modules()[module].name.startswith("_")


def test_no_package_called_plugins_is_installed(tmp_path):
    """It would take the name from everybody else."""
    done = run("import importlib.util; print(importlib.util.find_spec('plugins'))", cwd=tmp_path)
    assert done.stdout.strip() == "None"
