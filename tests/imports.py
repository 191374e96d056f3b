"""The rule of imports, and what the files of the package really import, read from their text."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
ROOT = "collapse_bench"

#: folder (or file) of the package -> what else of the package its files may import; `docs/architecture.md` draws it
MAY_IMPORT = {
    "display": "",
    "errors": "display",
    "paths": "errors",
    "forms": "",
    "status": "",
    "suggest": "",
    "foreign": "",
    "extras": "errors",
    "files": "errors",
    "places": "errors paths",
    "theory": "errors suggest",
    "spec": "errors",
    "scoring": "errors status",
    "core": "display errors files foreign places spec",
    "lib": "core errors extras foreign paths theory",
    "registry": "core errors foreign laws.claims papers.figure places spec suggest",
    "records": "core display errors spec status suggest",
    "suite": "core display errors files paths places records registry spec status suggest",
    "running": "core display errors foreign records registry status suite",
    "board": "display errors extras forms paths records scoring status suggest",
    "isolation": "core errors foreign registry spec",
    "submissions": "board core display errors foreign isolation paths records registry running scoring spec status suggest suite",
    "laws": "board core display errors foreign registry theory",
    "papers": "board core errors extras records registry running status suite",
    "checks": "core errors foreign registry spec suggest theory",
    "plugins": "core errors extras foreign laws.claims lib papers.figure paths registry.hookspecs theory",
    "suites": "registry.hookspecs",
    "api": "board core display errors isolation laws papers paths records registry running scoring spec status submissions suggest suite theory",
    "cli": "api board checks core display errors forms laws papers paths registry running spec status submissions suggest suite theory",
    "__init__": "api core errors registry",
    "__main__": "cli",
}


@cache
def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for folder, prefix in (
        (REPOSITORY / ROOT, ROOT),
        (REPOSITORY / "plugins", f"{ROOT}.plugins"),
    ):
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
    """Modules of the package that a module imports, anywhere in it."""
    return {target for target, _, _ in imports(module) if target.split(".")[0] == ROOT}


def outside(module: str, inside_functions: bool = True) -> set[str]:
    """Packages from elsewhere that a module imports."""
    return {
        target.split(".")[0] for target, _, deep in imports(module) if inside_functions or not deep
    } - {ROOT}
