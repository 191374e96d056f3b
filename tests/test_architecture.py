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

#: folder (or file) of the package -> what else of the package its files may import; `docs/architecture.md` draws it
MAY_IMPORT = {
    "errors": "",
    "suggest": "",
    "theory": "errors",
    "spec": "errors",
    "scoring": "errors",
    "core": "errors spec",
    "lib": "core errors theory",
    "registry": "core errors laws.claims papers.figure spec suggest",
    "records": "core errors",
    "suite": "core errors records registry spec suggest",
    "running": "core errors records registry suite",
    "board": "errors records scoring",
    "laws": "board core errors registry theory",
    "papers": "board core errors records registry running suite",
    "checks": "core errors registry suggest theory",
    "plugins": "core errors laws.claims lib papers.figure registry.hookspecs theory",
    "suites": "registry.hookspecs",
    "api": "board core errors laws papers records registry running scoring spec suggest suite theory",
    "cli": "api board checks core errors laws papers registry running spec suggest suite theory",
    "__init__": "api core errors registry",
}
HEAVY = {
    "transformers",
    "datasets",
    "sklearn",
    "tokenizers",
    "sacrebleu",
    "spacy",
    "sentence_transformers",
}  # never at the top of a file
FACE = {
    "click",
    "rich",
    "jinja2",
    "matplotlib",
    "pandas",
    "pyarrow",
    "pydantic",
}  # not in the loop, nor in a plugin


@cache
def modules() -> dict[str, Path]:
    """Every module of the house by its dotted name."""
    found = {}
    for folder, prefix in ((PACKAGE, ROOT), (PLUGINS, f"{ROOT}.plugins")):
        for path in sorted(folder.rglob("*.py")):  # does not follow the link to the plugins
            parts = [prefix, *path.relative_to(folder).with_suffix("").parts]
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


def place(module: str) -> str:
    """The file or package of the ground plan that a module belongs to."""
    return module.split(".")[1] if module != ROOT else "__init__"


class Imports(ast.NodeVisitor):
    """(module, line, inside a function) of every import; what only a type checker reads is none."""

    def __init__(self, module: str, path: Path):
        self.module, self.package = (
            module,
            module if path.name == "__init__.py" else module.rpartition(".")[0],
        )
        self.found: list[tuple[str, int, bool]] = []
        self.depth = 0
        self.visit(ast.parse(path.read_text()))

    def visit_If(self, node):
        names = {getattr(part, "id", getattr(part, "attr", "")) for part in ast.walk(node.test)}
        for child in (
            node.orelse if "TYPE_CHECKING" in names else [node.test, *node.body, *node.orelse]
        ):
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
    return {
        target.split(".")[0] for target, _, deep in imports(module) if inside_functions or not deep
    } - {ROOT}


MODULES = sorted(modules())
PLUGIN_MODULES = [m for m in MODULES if m.startswith(f"{ROOT}.plugins.") and m.count(".") >= 3]


# -- folders --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", sorted(MAY_IMPORT))
def test_a_folder_imports_only_what_it_may(folder):
    allowed = {folder, *MAY_IMPORT[folder].split()}
    for module in MODULES:
        if place(module) == folder:
            others = {t.removeprefix(f"{ROOT}.") for t in own(module)} - {ROOT}
            wrong = {t for t in others if t.split(".")[0] not in allowed and t not in allowed}
            assert not wrong, (
                f"{module} imports {', '.join(sorted(wrong))}; {folder} may import {sorted(allowed)}"
            )


def test_every_folder_has_a_rule():
    assert {place(module) for module in MODULES} == set(MAY_IMPORT)


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


def plugin_of(module: str) -> str:
    """The plugin that a module belongs to: `models.ridge`, or `models.vae` for all modules of that folder."""
    return ".".join(module.split(".")[2:4])


@pytest.mark.parametrize("module", PLUGIN_MODULES)
def test_a_plugin_imports_no_other_plugin(module):
    others = {t for t in own(module) if place(t) == "plugins" and plugin_of(t) != plugin_of(module)}
    assert not others, (
        f"{module} imports {', '.join(sorted(others))}; what two plugins share moves to collapse_bench/lib"
    )


def test_the_loop_knows_no_names_files_or_plugins():
    for module in MODULES:
        if place(module) == "core":
            assert not outside(module) & {"pluggy", "importlib", "os", "io", "pickle"}, module
    assert not outside(f"{ROOT}.core.loop") & {"pathlib", "json"}


def test_the_registry_knows_no_tensors():
    for module in MODULES:
        if place(module) == "registry":
            assert not outside(module) & {"torch", "numpy"}, module


def test_hookspecs_know_cells_as_a_word_only():
    assert own(f"{ROOT}.registry.hookspecs") == set()


@pytest.mark.parametrize("module", MODULES)
def test_only_the_registry_knows_pluggy(module):
    if place(module) != "registry":
        assert "pluggy" not in outside(module)


# -- what is heavy waits --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", MODULES)
def test_heavy_packages_are_imported_when_used(module):
    heavy = outside(module, inside_functions=False) & HEAVY
    assert not heavy, (
        f"{module} imports {', '.join(heavy)} at its top; do it in the function that needs it"
    )


@pytest.mark.parametrize("module", MODULES)
def test_the_loop_and_the_plugins_need_no_face(module):
    if place(module) in (
        "errors",
        "suggest",
        "theory",
        "spec",
        "core",
        "lib",
        "registry",
        "plugins",
    ):
        assert not outside(module) & FACE


def run(script: str, cwd: Path | None = None) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=cwd, check=False
    )


@pytest.mark.parametrize("name", ["collapse_bench", "collapse_bench.cli"])
@pytest.mark.parametrize(
    "heavy", ["torch", "numpy", "pandas", "transformers", "datasets", "sklearn", "scipy"]
)
def test_the_command_line_starts_light(name, heavy):
    done = run(f"import {name}, sys; assert '{heavy}' not in sys.modules, '{heavy}'")
    assert done.returncode == 0, done.stderr


def test_the_loop_starts_without_a_face():
    """All plugins loaded and nothing run: no plotting, no tables, no hub."""
    done = run(
        "from collapse_bench.core import loop; from collapse_bench.registry.discovery import registry; import sys; registry(); print(*sys.modules)"
    )
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
        [str(command)]
        if command.exists()
        else [sys.executable, "-c", "from collapse_bench.cli import main; main()"]
    )
    assert min(cpu_seconds([*start, "--help"]) for _ in range(3)) < 0.3


# -- small habits ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", MODULES)
def test_a_file_says_first_what_lives_there(module):
    tree = ast.parse(modules()[module].read_text())
    said = ast.get_docstring(tree)
    assert said, f"{module} has no docstring"
    assert said.splitlines()[0].endswith((".", "?", ":")), (
        f"{module}: the first line is to be a sentence"
    )


@pytest.mark.parametrize("module", PLUGIN_MODULES)
def test_a_plugin_is_found_by_its_hook(module):
    tree = ast.parse(modules()[module].read_text())
    hooks = [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("collapse_")
    ]
    assert bool(hooks) != module.rpartition(".")[2].startswith("_")
