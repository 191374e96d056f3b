"""The plan of the house: who may import whom, what is heavy and waits, and how fast help is there."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from imports import MAY_IMPORT, REPOSITORY, ROOT, modules, outside, own, place

from collapse_bench.extras import EXTRAS

HEAVY = {
    "transformers",
    "datasets",
    "sklearn",
    "tokenizers",
    "sacrebleu",
    *EXTRAS.values(),
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


def test_a_plugin_imports_no_other_plugin():
    for module in PLUGIN_MODULES:
        plugins = {target for target in own(module) if place(target) == "plugins"}
        others = {target for target in plugins if plugin_of(target) != plugin_of(module)}
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


def test_only_the_registry_knows_pluggy():
    for module in MODULES:
        if place(module) != "registry":
            assert "pluggy" not in outside(module), module


# -- the page and its picture ---------------------------------------------------------------------------------------

PAGE = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def drawing():
    """The script docs/draw_architecture.py as a module."""
    path = REPOSITORY / "docs" / "draw_architecture.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_is_of_these_imports(drawing):
    assert drawing.PICTURE.read_text(encoding="utf-8") == drawing.picture(), (
        "the imports have changed; run: python docs/draw_architecture.py"
    )


def test_every_folder_is_in_the_picture_and_on_the_page(drawing):
    folders = {name for name in drawing.BOXES if "." not in name} | set(drawing.GROUND)
    assert folders | drawing.HIDDEN == set(MAY_IMPORT)
    listed = PAGE.split("## The folders")[1].split("##")[0]
    rows = {
        name
        for line in listed.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    }
    assert rows == {name for name in MAY_IMPORT if not name.startswith("__")}
    for file in re.findall(r"`(\w+/\w+\.py)`", PAGE):
        assert (REPOSITORY / file).exists() or (REPOSITORY / ROOT / file).exists(), file


def test_the_picture_shows_every_import_and_no_other(drawing):
    """What can be reached by arrows is what is imported, at once or through others; all arrows lead down."""

    def reached(name):
        found = {target for source, target in drawing.arrows() if source == name}
        return found.union(*map(reached, found))

    for name in drawing.BOXES:
        assert reached(name) == drawing.below(name) >= drawing.graph()[name]
    assert all(drawing.floor(upper) > drawing.floor(lower) for upper, lower in drawing.arrows())


def test_no_arrow_runs_through_a_box_and_no_boxes_overlap(drawing):
    assert drawing.hits() == []
    for floor in set(map(drawing.floor, drawing.BOXES)):
        row = sorted(
            (drawing.BOXES[name].x - drawing.width(name) / 2, drawing.width(name))
            for name in drawing.BOXES
            if drawing.floor(name) == floor
        )
        ends = [left + wide for left, wide in row]
        starts = [left for left, _ in row[1:]] + [drawing.WIDTH]
        assert row[0][0] > 0
        assert all(end < start for end, start in zip(ends, starts, strict=True))


# -- what is heavy waits --------------------------------------------------------------------------------------------


def test_heavy_packages_are_imported_when_used():
    for module in MODULES:
        heavy = outside(module, inside_functions=False) & HEAVY
        assert not heavy, (
            f"{module} imports {', '.join(heavy)} at its top; do it in the function that needs it"
        )


def test_the_loop_and_the_plugins_need_no_face():
    faceless = {"errors", "suggest", "theory", "spec", "core", "lib", "registry", "plugins"}
    for module in MODULES:
        if place(module) in faceless:
            assert not outside(module) & FACE, module


def run(script: str, cwd: Path | None = None) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=cwd, check=False
    )


@pytest.mark.parametrize("name", ["collapse_bench", "collapse_bench.cli"])
def test_the_command_line_starts_light(name):
    done = run(f"import {name}, sys; print(*sys.modules)")
    assert done.returncode == 0, done.stderr
    assert not set(done.stdout.split()) & (HEAVY | {"torch", "numpy", "pandas", "scipy"})


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


def test_a_file_says_first_what_lives_there():
    for module in MODULES:
        said = ast.get_docstring(ast.parse(modules()[module].read_text()))
        assert said, f"{module} has no docstring"
        assert said.splitlines()[0].endswith((".", "?", ":")), (
            f"{module}: the first line is to be a sentence"
        )


def test_a_plugin_is_found_by_its_hook():
    for module in PLUGIN_MODULES:
        tree = ast.parse(modules()[module].read_text())
        hooks = [
            node.name
            for node in tree.body
            if isinstance(node, ast.FunctionDef) and node.name.startswith("collapse_")
        ]
        assert bool(hooks) != module.rpartition(".")[2].startswith("_"), module


class Titles(ast.NodeVisitor):
    """Lines on which what ``title()`` returns is compared with a string, or looked up among strings."""

    def __init__(self, tree: ast.AST):
        self.found: list[int] = []
        self.names: set[str] = set()  # that hold a title, in the function that is being read
        self.visit(tree)

    def visit_FunctionDef(self, node):
        outer, self.names = self.names, set()
        self.generic_visit(node)
        self.names = outer

    def visit_Assign(self, node):
        self.generic_visit(node)
        pairs = [(target, node.value) for target in node.targets]
        for target, value in pairs:
            if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                pairs += zip(target.elts, value.elts, strict=False)
            elif isinstance(target, ast.Name) and self.titled(value):
                self.names.add(target.id)

    def titled(self, node: ast.AST) -> bool:
        """Whether a title is among the values of an expression; one within a sentence is not."""
        if isinstance(node, ast.Call):
            return isinstance(node.func, ast.Attribute) and node.func.attr == "title"
        if isinstance(node, ast.JoinedStr):
            return False
        if isinstance(node, ast.Name) and node.id in self.names:
            return True
        return any(map(self.titled, ast.iter_child_nodes(node)))

    def visit_Compare(self, node):
        self.generic_visit(node)
        sides = [node.left, *node.comparators]
        if any(map(self.titled, sides)) and any(map(spelled, sides)):
            self.found.append(node.lineno)

    def visit_Match(self, node):
        self.generic_visit(node)
        if self.titled(node.subject) and any(spelled(case.pattern) for case in node.cases):
            self.found.append(node.lineno)

    def visit_Call(self, node):
        self.generic_visit(node)
        looks_up = isinstance(node.func, ast.Attribute) and node.func.attr == "get"
        if looks_up and isinstance(node.func.value, ast.Dict) and any(map(self.titled, node.args)):
            self.found.append(node.lineno)

    def visit_Subscript(self, node):
        self.generic_visit(node)
        if isinstance(node.value, ast.Dict) and self.titled(node.slice):
            self.found.append(node.lineno)


def spelled(node: ast.AST) -> bool:
    """Whether a string is written out in an expression."""
    return any(
        isinstance(part, ast.Constant) and isinstance(part.value, str) for part in ast.walk(node)
    )


def test_nothing_compares_a_title_with_a_string():
    for module in MODULES:
        lines = Titles(ast.parse(modules()[module].read_text())).found
        assert not lines, (
            f"{module}, line {lines[0]}: compares title() with a string; a plugin states what it is "
            "as a fact, such as Protocol.reads_real or Model.estimator"
        )


@pytest.mark.parametrize(
    "code",
    [
        'protocol.title() == "mix"',
        'cell.protocol.title() not in ("replace", "accumulate")',
        '(model.title(), 1) == ("kde", 1)',
        '{"ols": 1}.get(model.title())',
        '{"ols": 1}[model.title()]',
        'match model.title():\n    case "ols" | "ridge":\n        pass',
        'def law(cell):\n    name = cell.model.title()\n    return name == "ols"',
        'def law(cell):\n    data, name = cell.data, cell.model.title()\n    return name == "ols"',
        'names = [act.title() for act in acts]\nnames != ["mix-weights"]',
    ],
)
def test_a_title_that_is_compared_is_found(code):
    assert Titles(ast.parse(code)).found


@pytest.mark.parametrize(
    "code",
    ['f"{a.title()} is no b" == "x"', "a.title() == b.title()", 'name = a.title()\nother == "x"'],
)
def test_a_title_in_a_sentence_is_not_held_against_it(code):
    assert not Titles(ast.parse(code)).found
