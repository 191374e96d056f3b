"""What is installed: declared packages, extras that may be missing, the two commands, the wheel."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile

import pytest
from click.testing import CliRunner
from imports import REPOSITORY, ROOT, modules, outside

import collapse_bench
from collapse_bench import cell_of
from collapse_bench.api import reproduce
from collapse_bench.cli import cli
from collapse_bench.errors import UsageError
from collapse_bench.extras import EXTRAS, lacking, require

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]


def packages(requirements: list[str]) -> set[str]:
    """The distributions that a list of requirements names, in the spelling of their imports where they differ."""
    names = {requirement.split(">=")[0] for requirement in requirements}
    return {name.replace("-", "_") for name in names}


# -- declared packages ----------------------------------------------------------------------------------------------


def test_what_is_declared_is_what_is_imported():
    """No dependency that nothing imports, and no import that only another package brings.

    pytest is the one exception: a package that makes tests with ``checks.parametrize`` has it.
    """
    imported = {package for module in modules() for package in outside(module)}
    declared = packages(PROJECT["dependencies"]) | set(EXTRAS.values())
    assert imported - set(sys.stdlib_module_names) - {"pytest"} == declared


def test_every_extra_names_its_package_and_all_names_every_extra():
    extras = dict(PROJECT["optional-dependencies"])
    assert extras.pop("all") == [f"collapse-bench[{','.join(sorted(EXTRAS))}]"]
    del extras["test"]
    assert {extra: packages(found) for extra, found in extras.items()} == {
        extra: {package} for extra, package in EXTRAS.items()
    }


def test_every_extra_is_explained_on_the_front_page():
    readme = (REPOSITORY / "README.md").read_text()
    for extra, package in EXTRAS.items():
        [row] = [line for line in readme.splitlines() if line.startswith(f"| `{extra}` |")]
        assert package.replace("_", "-") in row


# -- an extra that is missing ---------------------------------------------------------------------------------------


def drawn(folder):
    return (
        CliRunner().invoke(cli, ["board", "nowhere", "--curves", str(folder / "c.png")]).exception
    )


def reproduced(folder):
    with pytest.raises(UsageError) as refusal:
        reproduce("pi-squared-over-six", output=folder)
    assert not list(folder.rglob("*.parquet"))  # it is said before anything runs
    return refusal.value


def measured(parameter):
    def door(folder):
        (folder / "config.json").write_text("{}")
        cell = cell_of(f'grammar-stories(words=30, {parameter}="{folder}") | ngram @ n=5 T=0')
        assert cell.incompatibility() is None
        [remark] = cell.data.remarks()
        return remark

    return door


def adapted(folder):
    return cell_of("grammar-stories | causal-lm(lora=2) @ n=5 T=0").incompatibility()


#: (extra, how a user meets it)
DOORS = [
    ("lora", adapted),
    ("plots", drawn),
    ("plots", reproduced),
    ("semantic", measured("encoder")),
    ("syntax", measured("parser")),
]


@pytest.mark.parametrize(("extra", "door"), DOORS)
def test_a_missing_extra_is_one_sentence_with_the_remedy(extra, door, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, EXTRAS[extra], None)  # as if it was not installed
    said = str(door(tmp_path))
    assert f"needs the package {EXTRAS[extra]}, which is not installed" in said
    assert said.endswith(f"pip install 'collapse-bench[{extra}]' adds it")
    assert "\n" not in said


def test_every_extra_has_a_door():
    assert {extra for extra, _ in DOORS} == set(EXTRAS)


def test_an_extra_that_is_installed_is_not_mentioned(monkeypatch):
    for package in EXTRAS.values():
        monkeypatch.setattr(collapse_bench.extras, "find_spec", {package: object()}.get)
        for extra, other in EXTRAS.items():
            assert (lacking(extra, "this") is None) == (other == package)
            if other == package:
                require(extra, "this")


# -- the command, and names ---------------------------------------------------------------------------------------------


def run(*command, cwd=None, **environment) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        cwd=cwd,
        check=False,
    )


def test_python_m_is_the_command():
    done = run("-m", ROOT, "--version")
    assert done.stdout == f"collapse-bench, version {collapse_bench.__version__}\n"
    assert done.returncode == 0
    refused = run("-m", ROOT, "--nothing")
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"Usage: python -m {ROOT}")


def test_the_version_is_that_of_the_distribution():
    assert collapse_bench.__version__ == importlib.metadata.version("collapse-bench")


@pytest.mark.parametrize(
    ("words", "at", "due"),
    [
        ("collapse-bench ver", 1, ["verify", "verify-laws"]),
        ("collapse-bench suite ca", 2, ["calibrate"]),
        ("collapse-bench board --fo", 2, ["--format", "--focus"]),
        ("collapse-bench board --format c", 3, ["csv"]),
    ],
)
def test_a_shell_completes_without_torch(words, at, due):
    script = (
        "import sys; sys.argv = ['collapse-bench']\n"
        "from collapse_bench.cli import main\n"
        "try: main()\n"
        "finally: assert not {'torch', 'numpy'} & set(sys.modules)"
    )
    how = {"COMP_WORDS": words, "COMP_CWORD": str(at), "_COLLAPSE_BENCH_COMPLETE": "bash_complete"}
    done = run("-c", script, **how)
    assert done.stderr == ""
    assert [line.split(",")[1] for line in done.stdout.splitlines()] == due


def test_editors_see_the_names_that_are_imported_late():
    """The TYPE_CHECKING block of the package imports what ``__getattr__`` finds, and from there."""
    tree = ast.parse((REPOSITORY / ROOT / "__init__.py").read_text())
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    assert seen == collapse_bench._WHERE
    assert sorted([*seen, "__version__"]) == collapse_bench.__all__


# -- the wheel --------------------------------------------------------------------------------------------------------


@pytest.fixture
def source(tmp_path):
    """A copy of what a build reads, since builds write into their source."""
    copy = tmp_path / "source"
    copy.mkdir()
    for pattern in ("*.md", "*.toml", "*.txt", "LICENSE", "MANIFEST.in", "*.cff"):
        for path in REPOSITORY.glob(pattern):
            shutil.copy(path, copy)
    for name in (ROOT, "plugins", "leaderboard"):
        unwanted = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / name, copy / name, symlinks=True, ignore=unwanted)
    return copy


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_its_data(source, tmp_path):
    """Built by way of the source distribution, as an installer that finds no wheel does."""
    done = run("-m", "build", "--no-isolation", "--outdir", str(tmp_path), str(source))
    assert done.returncode == 0, done.stderr
    [wheel] = tmp_path.glob("*.whl")
    [_] = tmp_path.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        assert archive.read(f"{ROOT}/leaderboard/standard.parquet") == (
            (REPOSITORY / "leaderboard" / "standard.parquet").read_bytes()
        )
    tops = {name.split("/")[0] for name in names}
    assert tops == {ROOT, f"{wheel.name.rsplit('-', 3)[0]}.dist-info"}
    due = {f"{ROOT}/py.typed", f"{ROOT}/leaderboard/standard.md"}
    for path in modules().values():
        due.add(str(path.relative_to(REPOSITORY)).replace("plugins/", f"{ROOT}/plugins/", 1))
    for pattern in ("suites/*.toml", "lib/images/optdigits/*", "lib/tabular/uci/*"):
        found = list((REPOSITORY / ROOT).glob(pattern))
        assert found
        due |= {str(path.relative_to(REPOSITORY)) for path in found}
    assert due <= names, sorted(due - names)
    assert not [name for name in names if "__pycache__" in name or "/tests/" in name]


@pytest.mark.slow
def test_an_editable_install_is_a_path(source, tmp_path):
    """One line of a .pth file, which type checkers follow; not a module that hooks into the imports."""
    script = (
        "import sys; from setuptools.build_meta import build_editable; build_editable(sys.argv[1])"
    )
    done = run("-c", script, str(tmp_path), cwd=source)
    assert done.returncode == 0, done.stderr
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        [pth] = [name for name in archive.namelist() if ".dist-info/" not in name]
        assert pth.endswith(".pth")
        assert archive.read(pth).decode().strip() == str(source)
