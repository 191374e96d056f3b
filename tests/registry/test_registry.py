"""Plugins are found, each is loaded alone, and whoever breaks pays for it alone."""

from __future__ import annotations

import importlib.metadata
import os
import pickle
import subprocess
import sys
from pathlib import Path
from textwrap import dedent, indent

import pytest

import collapse_bench
from collapse_bench.errors import PluginError, UsageError
from collapse_bench.registry import discovery as registry_module
from collapse_bench.registry.discovery import KINDS, REPLACES_DISCOVERY, Registry, registry
from collapse_bench.suggest import nearest

HEAD = """
from dataclasses import dataclass
from collapse_bench.registry.hookspecs import hookimpl
from collapse_bench import DataGenerator, Mitigation, Model, Protocol, param
"""


def plugin(
    name: str,
    cls: str = "Own",
    head: str = HEAD,
    mark: str = "@hookimpl",
    frozen: str = "(frozen=True)",
) -> str:
    """The text of a plugin file that offers one mitigation."""
    return f"""{head}
@dataclass{frozen}
class {cls}(Mitigation):
    k: int = param(1, "a number", ge=0)

{mark}
def collapse_mitigations():
    return {{"{name}": {cls}}}
"""


@pytest.fixture
def empty(monkeypatch) -> None:
    """Discovery finds nothing."""
    monkeypatch.setenv(REPLACES_DISCOVERY, "")


@pytest.fixture
def write(tmp_path, monkeypatch, request):
    """Write files below a folder of importable modules; modules are forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    known = set(sys.modules)

    def written(path: str, text: str) -> Path:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    yield written
    for name in set(sys.modules) - known:
        if (
            getattr(sys.modules[name], "__file__", None)
            and str(tmp_path) in sys.modules[name].__file__
        ):
            del sys.modules[name]


def broken(found: Registry) -> dict[str, str]:
    return {plugin.module: plugin.error for plugin in found.broken}


# -- what is installed ----------------------------------------------------------------------------------------------


def test_the_installed_plugins_load():
    found = Registry.discover()
    assert not broken(found)
    assert {"gaussian", "linear", "zipf"} <= set(found.classes["generator"])
    assert {"replace", "accumulate", "accumulate-subsample", "mix", "verify-filter"} <= set(
        found.classes["protocol"]
    )
    assert {"none", "nature"} <= set(found.classes["mitigation"])
    assert found.suites
    assert all(path.is_file() for path in found.suites)


MODULES = sorted({plugin.module for plugin in registry().plugins})


@pytest.mark.parametrize("module", MODULES)
def test_each_plugin_loads_by_itself(module, monkeypatch):
    """No plugin needs another one: loaded by itself it offers what it offers among all."""
    monkeypatch.setenv(REPLACES_DISCOVERY, module)
    found = Registry.discover()
    alone = {(kind, name) for kind in KINDS for name in found.classes[kind]}
    among = {offer for offer, owner in registry().owners.items() if owner == module}
    assert not broken(found)
    assert alone == among
    assert [plugin.module for plugin in found.plugins] == [module]


def test_plugins_load_one_by_one_in_a_fresh_process():
    """The order of imports does not matter either: each kind's first plugin, without the others."""
    script = "\n".join(
        f"import os; os.environ['{REPLACES_DISCOVERY}'] = '{module}'\n"
        f"from collapse_bench.registry.discovery import Registry; assert not Registry.discover().broken, '{module}'"
        for module in (
            next(m for m in MODULES if part in m)
            for part in (".generators.", ".models.", ".mitigations.")
        )
    )
    subprocess.run(
        [sys.executable, "-c", script], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )


def test_every_name_is_read_as_the_class_that_offers_it():
    for kind, classes in registry().classes.items():
        for name, cls in classes.items():
            assert registry().find(kind, name) is cls
            assert cls.title() == name


def test_the_registry_of_a_process_is_made_once():
    assert registry() is registry()


# -- broken plugins -------------------------------------------------------------------------------------------------

EXPLODING = {
    "import error": (
        "import not_there_at_all",
        "ModuleNotFoundError: No module named 'not_there_at_all'",
    ),
    "syntax error": ("def f(:", "SyntaxError: "),
    "exit": ("raise SystemExit(3)", "SystemExit: 3"),
    "error of two lines": ("raise RuntimeError('first\\nsecond')", "RuntimeError: first"),
    "hook that fails": (
        HEAD + "@hookimpl\ndef collapse_mitigations():\n    return 1 / 0",
        "ZeroDivisionError: division by zero",
    ),
    "suites that fail": (
        HEAD + "@hookimpl\ndef collapse_suites():\n    raise OSError('no disk')",
        "OSError: no disk",
    ),
    "hook of other arguments": (
        HEAD + "@hookimpl\ndef collapse_theory(something):\n    return None",
        "PluginValidationError: ",
    ),
}


@pytest.mark.parametrize(("text", "sentence"), EXPLODING.values(), ids=list(EXPLODING))
def test_a_broken_plugin_costs_nothing_unless_selected(text, sentence, write, monkeypatch):
    write("shelf/__init__.py", "")
    write("shelf/bad_one.py", text)
    write("shelf/good.py", plugin("good"))
    monkeypatch.setenv(REPLACES_DISCOVERY, "shelf,collapse_bench.plugins")
    found = Registry.discover()
    (bad,) = found.broken
    assert bad.module == "shelf.bad_one"
    assert bad.error.startswith(sentence)
    assert "\n" not in bad.error
    assert "Traceback (most recent call last)" in bad.trace
    assert found.cell("gaussian | gaussian-fit | replace | good(k=2)").mitigations[0].k == 2
    with pytest.raises(
        PluginError, match=r"mitigation 'bad-one': plugin shelf\.bad_one could not be loaded: "
    ):
        found.mitigations("bad-one")
    with pytest.raises(
        UsageError, match=r"unknown mitigation 'else'.*1 plugin\(s\) could not be loaded"
    ):
        found.mitigations("else")
    assert not [m for m in found.manager.get_plugins() if m.__name__ == "shelf.bad_one"]
    laws = [hook.plugin_name for hook in found.manager.hook.collapse_theory.get_hookimpls()]
    assert "shelf.bad_one" not in laws
    assert "collapse_bench.plugins.generators.gaussian" in laws


def test_a_broken_distribution_costs_nothing_either(write, monkeypatch):
    write("their_plugin.py", "import not_there_at_all")
    points = [*importlib.metadata.entry_points(group="collapse_bench")]
    points.append(importlib.metadata.EntryPoint("theirs", "their_plugin", "collapse_bench"))
    monkeypatch.setattr(registry_module.importlib.metadata, "entry_points", lambda group: points)
    found = Registry.discover()
    assert list(broken(found)) == ["their_plugin"]
    assert found.broken[0].source == "entry point theirs"
    assert found.cell("gaussian | gaussian-fit").incompatibility() is None


def test_a_shelf_whose_package_is_broken(write, monkeypatch):
    write("shelf/__init__.py", "1 / 0")
    write("shelf/good.py", plugin("good"))
    monkeypatch.setenv(REPLACES_DISCOVERY, "shelf, not_installed")
    found = Registry.discover()
    assert list(broken(found)) == ["shelf", "not_installed"]


# -- shelves --------------------------------------------------------------------------------------------------------


def test_a_shelf_is_loaded_module_by_module(write, monkeypatch):
    write("shelf/__init__.py", "")
    write("shelf/one.py", plugin("one"))
    write(
        "shelf/_helper.py",
        "raise AssertionError('modules that begin with an underscore are no plugins')",
    )
    write("shelf/inner/__init__.py", "")
    write("shelf/inner/two.py", plugin("two"))
    write("shelf/notes.txt", "no plugin")
    monkeypatch.setenv(REPLACES_DISCOVERY, "shelf")
    found = Registry.discover()
    assert not broken(found)
    assert list(found.classes["mitigation"]) == ["two", "one"]
    assert found.owners == {
        ("mitigation", "two"): "shelf.inner.two",
        ("mitigation", "one"): "shelf.one",
    }


def test_the_variable_replaces_discovery(write, monkeypatch):
    file = write("elsewhere/own.py", plugin("own"))
    write("their_module.py", plugin("theirs"))
    monkeypatch.setenv(REPLACES_DISCOVERY, f"{file}, their_module,,")
    found = Registry.discover()
    assert set(found.classes["mitigation"]) == {"own", "theirs"}
    assert not found.classes["generator"]
    monkeypatch.setenv(REPLACES_DISCOVERY, "")
    assert not Registry.discover().plugins


def test_a_process_without_plugins_says_why(monkeypatch):
    monkeypatch.setenv(REPLACES_DISCOVERY, "")
    with pytest.raises(PluginError, match=r"no generator at all: COLLAPSE_BENCH_PLUGINS is ''"):
        Registry.discover().build("generator", "linear")
    monkeypatch.delenv(REPLACES_DISCOVERY)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [])
    with pytest.raises(PluginError, match="names no plugins; install it again"):
        Registry.discover().build("generator", "linear")


# -- files ----------------------------------------------------------------------------------------------------------


def test_a_file_is_one_plugin(write, empty):
    found = Registry.discover([write("my plugin.py", plugin("own"))])
    act = found.build("mitigation", "own(k=3)")
    assert act.title() == "own"
    assert pickle.loads(pickle.dumps(act)) == act  # its class can be found again


def test_two_files_of_one_name_are_two_plugins(write, empty):
    found = Registry.discover([write("a/own.py", plugin("a")), write("b/own.py", plugin("b"))])
    assert set(found.classes["mitigation"]) == {"a", "b"}


def test_a_file_that_is_not_there(tmp_path, empty):
    with pytest.raises(
        UsageError, match=r"plugin file .*gone\.py is not there; give the path of a Python file"
    ):
        Registry.discover([tmp_path / "gone.py"])
    with pytest.raises(UsageError, match="is a folder, and --plugin loads one file"):
        Registry.discover([tmp_path])


def test_a_file_that_is_no_python_file(write, empty):
    with pytest.raises(UsageError, match=r"its name must end in \.py"):
        Registry.discover([write("own.txt", plugin("own"))])


def test_a_file_that_does_not_load_was_selected(write, empty):
    with pytest.raises(PluginError, match=r"plugin .*bad\.py: ZeroDivisionError"):
        Registry.discover([write("bad.py", "1 / 0")])
    assert not [name for name in sys.modules if name.startswith("collapse_plugin_bad_")]


def test_files_are_added_to_the_registry_of_the_process(write, monkeypatch):
    monkeypatch.setattr(registry_module, "_REGISTRY", Registry.discover())
    file = write("added.py", plugin("added-later"))
    assert "added-later" in registry([file]).classes["mitigation"]
    assert "added-later" in registry([file]).classes["mitigation"]  # twice is once
    assert "gaussian" in registry().classes["generator"]


# -- refusals -------------------------------------------------------------------------------------------------------


def sentence(found: Registry, file: Path) -> str:
    return found.file(file).error or ""


def test_a_taken_name_is_refused_naming_both(write, empty):
    one, other = write("first.py", plugin("same")), write("second.py", plugin("same", cls="Other"))
    found = Registry.discover([one])
    first = found.classes["mitigation"]["same"]
    assert sentence(found, other) == (
        f"PluginError: the mitigation 'same' is offered by {one} and by {other}; rename one"
    )
    assert found.classes["mitigation"]["same"] is first


def test_a_refused_plugin_offers_nothing_at_all(write, empty):
    found = Registry.discover([write("first.py", plugin("same"))])
    text = (
        plugin("same", cls="Other")
        + "\n@hookimpl\ndef collapse_protocols():\n    return {'new': New}\n"
    )
    text = text.replace(
        "@hookimpl", "@dataclass(frozen=True)\nclass New(Protocol):\n    pass\n\n@hookimpl", 1
    )
    assert "rename one" in sentence(found, write("second.py", text))
    assert not found.classes["protocol"]


def test_one_name_in_two_kinds_is_no_clash(write, empty):
    text = (
        plugin("same")
        + indent("", "")
        + dedent(
            """
        @dataclass(frozen=True)
        class P(Protocol):
            pass

        @hookimpl
        def collapse_protocols():
            return {"same": P}
        """
        )
    )
    found = Registry.discover([write("both.py", text)])
    assert found.find("protocol", "same") is not found.find("mitigation", "same")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (plugin("x").replace("collapse_mitigations", "collapse_mitigation"), "there is no hook 'collapse_mitigation'; did you mean 'collapse_mitigations'?"),
        (plugin("x", mark="").replace("collapse_mitigations", "collapse_mitigatons"), "did you mean 'collapse_mitigations'?"),
        (plugin("x").replace("collapse_mitigations", "qqq"), "there is no hook 'qqq'; known: collapse_ceilings, collapse_claims, "),
        (plugin("x", mark=""), "collapse_mitigations lacks its mark: put @hookimpl above it"),
        (plugin("x", frozen=""), "TypeError: cannot inherit non-frozen dataclass from a frozen one"),
        (plugin("x").replace("@dataclass(frozen=True)\n", ""), "'x' must be a frozen dataclass: put @dataclass(frozen=True) above the class"),
        (plugin("x").replace("class Own(Mitigation)", "class Own"), "offers 'x', which is not a subclass of Mitigation"),
        (plugin("x").replace("class Own(Mitigation)", "class Own(Protocol)"), "not a subclass of Mitigation"),
        (plugin("x").replace('"x": Own', '"x": Own()'), "not a subclass of Mitigation"),
        (plugin("x").replace("k: int", "size: int"), "'x' has a parameter 'size', which hides Mitigation.size; rename the parameter"),
        (plugin("Bad Name|x"), "collapse_mitigations() offers the name 'Bad Name|x', which cannot be typed in a spec; use a letter"),
        (plugin("true"), "the name 'true', which cannot be typed in a spec"),
        (plugin("x").replace('"x": Own', "3: Own"), "the name 3, which cannot be typed"),
        (plugin("x").replace('{"x": Own}', "[Own]"), "collapse_mitigations() must return a dict of name to class, got list"),
    ],
)  # fmt: skip
def test_what_an_author_forgot_is_told(text, words, write, empty):
    assert words in sentence(Registry(), write("own.py", text))


def test_a_class_that_thaws_is_refused(write, empty):
    """A dataclass may only be thawed by going around dataclasses; the registry looks all the same."""
    text = plugin("x") + "\nOwn.__dataclass_params__.frozen = False\n"
    assert "'x' must be frozen: write @dataclass(frozen=True)" in sentence(
        Registry(), write("own.py", text)
    )


def test_helpers_with_names_of_their_own_are_no_hooks(write, empty):
    text = (
        plugin("x")
        + "\ndef collapse_rows(rows):\n    return rows\n\nfrom collapse_bench.plugins.protocols.standard import collapse_protocols\n"
    )
    found = Registry()
    assert found.file(write("own.py", text)).error is None
    assert found.classes["mitigation"]["x"].file_digests
    assert not found.classes["protocol"]["accumulate"].file_digests, (
        "passed on by the file, and not written there"
    )


def test_a_name_of_another_kind_is_told():
    with pytest.raises(UsageError, match="'ols' is a model; expected a mitigation"):
        registry().find("mitigation", "ols")


def test_a_parameter_without_default_is_asked_for(write, empty):
    text = plugin("needs").replace('k: int = param(1, "a number", ge=0)', "k: int\n    b: float")
    found = Registry.discover([write("needs.py", text)])
    with pytest.raises(UsageError, match=r"needs needs the parameter\(s\) k, b: needs\(k=\.\.\.\)"):
        found.build("mitigation", "needs")
    assert found.build("mitigation", "needs(k=1, b=2)").b == 2.0


def test_a_refusal_of_the_class_itself_is_passed_on(write, empty):
    text = plugin("picky").replace(
        "\n@hookimpl",
        "    def __post_init__(self):\n        raise ValueError('k and j differ')\n\n@hookimpl",
    )
    found = Registry.discover([write("picky.py", text)])
    with pytest.raises(UsageError, match="picky: k and j differ"):
        found.build("mitigation", "picky")


def test_nearest():
    assert nearest("gausian", ["gaussian", "linear"]) == "; did you mean 'gaussian'?"
    assert nearest("qqq", ["gaussian", "linear"]) == "; known: gaussian, linear"


# -- offered from a notebook ----------------------------------------------------------------------------------------


def test_a_class_can_be_offered_and_offered_again(write, empty):
    found = Registry()
    one, two = (
        Registry.discover([write(f"{name}.py", plugin("own"))]).classes["mitigation"]["own"]
        for name in "ab"
    )
    found.offer("mitigation", "mine", one)
    assert found.build("mitigation", "mine(k=2)") == one(k=2)
    found.offer("mitigation", "mine", two)
    assert type(found.build("mitigation", "mine")) is two
    with pytest.raises(
        PluginError,
        match=r"offer\('mine', \.\.\.\) offers 'mine', which is not a subclass of Protocol",
    ):
        found.offer("protocol", "mine", two)
    for name in ("Bad Name|x", "", "2x", "é", "a\n"):
        with pytest.raises(
            PluginError, match=r"offer\(.*\) offers the name .*, which cannot be typed in a spec"
        ):
            found.offer("mitigation", name, one)
    with pytest.raises(PluginError, match="not a subclass of Mitigation"):
        found.offer("mitigation", "mine", int)
    assert list(found.classes["mitigation"]) == ["mine"]
    assert type(found.build("mitigation", "mine")) is two  # what was offered before stands


def test_an_offer_does_not_take_the_name_of_a_plugin(monkeypatch):
    found = Registry.discover()
    with pytest.raises(PluginError, match=r"and by offer\('none', \.\.\.\); rename one"):
        found.offer("mitigation", "none", found.classes["mitigation"]["nature"])


def test_public_names_are_there():
    for name in collapse_bench.__all__:
        assert getattr(collapse_bench, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        collapse_bench.nothing  # noqa: B018


# -- plugins that misbehave when they are loaded --------------------------------------------------------------------

MITIGATION = """
@dataclass(frozen=True)
class Own(Mitigation):
    {}
@hookimpl
def collapse_mitigations():
    return {{"own": Own}}
"""
GENERATOR = """
@dataclass(frozen=True)
class Own(DataGenerator):
    {}
@hookimpl
def collapse_generators():
    return {{"own": Own}}
"""

MISBEHAVING = {
    "KeyboardInterrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "GeneratorExit": ("raise GeneratorExit", "GeneratorExit"),
    "no message": (
        "class Mute(Exception):\n    def __str__(self): raise self\nraise Mute",
        "Mute, whose message cannot be read",
    ),
    "a long message": ("raise ValueError('x' * 30_000_000)", "ValueError: xxx"),
    "an endless loop": ("while True: pass", "Endless: it did not end within 2 s"),
    "a hook that interrupts": (
        HEAD + "@hookimpl\ndef collapse_mitigations():\n    raise KeyboardInterrupt",
        "KeyboardInterrupt",
    ),
    "version": (
        HEAD + MITIGATION.format("version = object()"),
        "PluginError: 'own': version is <object object at ",
    ),
    "title of a number": (
        HEAD + MITIGATION.format("title = classmethod(lambda cls: 7)"),
        "PluginError: 'own': title() returned 7; it must return a name",
    ),
    "title that raises": (
        HEAD + MITIGATION.format("title = classmethod(lambda cls: 1 / 0)"),
        "ZeroDivisionError: division by zero",
    ),
    "kinds": (
        HEAD + MITIGATION.format("kinds = 'density'"),
        "PluginError: 'own': kinds is 'density'; it must be None or a tuple of density, ",
    ),
    "kind": (
        HEAD + GENERATOR.format("kind = 'picture'"),
        "PluginError: 'own': kind is 'picture'; it must be one of density, ",
    ),
    "primary": (
        HEAD + GENERATOR.format("primary = 3"),
        "PluginError: 'own': primary is 3; it must be the name of a loss",
    ),
}


@pytest.mark.parametrize(("text", "sentence"), MISBEHAVING.values(), ids=list(MISBEHAVING))
def test_a_plugin_that_misbehaves_when_loaded_costs_itself(
    text, sentence, write, empty, monkeypatch
):
    if "while" in text:
        monkeypatch.setattr(registry_module, "LOAD_SECONDS", 2.0)
    bad = write("bad_one.py", text)
    good = write("good.py", plugin("good"))
    found = Registry()
    found.file(bad)
    assert found.broken[0].error.startswith(sentence)
    assert len(found.broken[0].error) < 1200
    assert len(found.broken[0].trace) < 50_000
    found.check_file(found.file(good), good)
    assert found.find("mitigation", "good").title() == "good"
    with pytest.raises(PluginError, match="bad_one"):
        found.check_file(found.broken[0], bad)


def test_what_a_plugin_changes_when_loaded_is_undone_and_named(write, empty, capfd):
    import torch

    text = "import os, torch\nprint('hello')\nos.system('echo hello')\ntorch.set_default_dtype(torch.float64)\n"
    found = Registry()
    file = write("mine.py", text + plugin("mine"))
    (loaded,) = [found.file(file)]
    assert torch.get_default_dtype() is torch.float32
    assert loaded.remarks() == [
        "mine.py changed the default dtype of torch when it was loaded; this was undone for other code"
    ]
    assert capfd.readouterr() == ("", "hello\nhello\n")


def test_a_class_that_cannot_be_built_is_one_sentence(write, empty):
    body = "def __post_init__(self):\n        raise KeyboardInterrupt"
    found = Registry()
    found.file(write("mine.py", HEAD + MITIGATION.format(body)))
    with pytest.raises(UsageError, match=r"^own: it could not be built: KeyboardInterrupt$"):
        found.mitigations("own")


def test_a_law_of_a_plugin_counts_for_its_own_cells_only(write, monkeypatch):
    """Neither a wrong law nor one that fails reaches the cells of others."""
    monkeypatch.setenv(REPLACES_DISCOVERY, "collapse_bench.plugins")
    found = Registry.discover()
    cell = found.cell("gaussian | gaussian-fit @ n=8 T=2")
    curve = found.predicted(cell)
    for name, law in (("wrong", "return [0.0] * 3"), ("failing", "raise KeyboardInterrupt")):
        hook = f"\n@hookimpl\ndef collapse_theory(cell):\n    {law}\n"
        found.file(write(f"{name}.py", plugin(name) + hook))
    assert found.predicted(cell) == curve
    assert found.predicted(found.cell("gaussian | gaussian-fit | replace | wrong @ n=8 T=2")) == (
        0.0,
        0.0,
        0.0,
    )
    with pytest.raises(PluginError, match=r"collapse_theory of plugin \w*failing\w* failed: Key"):
        found.predicted(found.cell("gaussian | gaussian-fit | replace | failing @ n=8 T=2"))


LISTS = {
    "raises": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "wrong items": ("return [7]", "and has 7"),
    "a list that raises": ("yield 1 / 0", "ZeroDivisionError"),
}


@pytest.mark.parametrize(("body", "words"), LISTS.values(), ids=list(LISTS))
@pytest.mark.parametrize("what", ["claims", "figures"])
def test_a_plugin_whose_list_fails_is_left_out(what, body, words, write, monkeypatch):
    """The lists of the others are complete; a file that the user names is an error."""
    monkeypatch.setenv(REPLACES_DISCOVERY, "collapse_bench.plugins")
    listed = {"claims": lambda reg: reg.claims(), "figures": lambda reg: reg.figures}[what]
    before = len(listed(Registry.discover()))
    hook = f"\n@hookimpl\ndef collapse_{what}():\n    {body}\n"
    file = write("failing_list.py", plugin("failing") + hook)
    monkeypatch.setenv(REPLACES_DISCOVERY, "collapse_bench.plugins,failing_list")
    found = Registry.discover()
    assert len(listed(found)) == before > 0
    assert words in found.skipped["failing_list"]
    monkeypatch.setenv(REPLACES_DISCOVERY, "collapse_bench.plugins")
    with pytest.raises(PluginError, match=words):
        listed(Registry.discover([file]))


def test_a_worker_loads_only_the_plugins_of_its_cells(write, monkeypatch):
    monkeypatch.setenv(REPLACES_DISCOVERY, "collapse_bench.plugins")
    monkeypatch.setattr(registry_module, "_REGISTRY", None)
    files = [write(f"{name}.py", plugin(name)) for name in ("one", "two")]
    found = registry(files)
    cell = found.cell("gaussian | gaussian-fit | replace | one @ n=8 T=2")
    (origin,) = found.origins(cell)
    assert origin.file == str(files[0])
    assert found.origins(found.cell("gaussian | gaussian-fit")) == ()
    inside = registry_module.loaded([origin], ())
    assert "one" in inside.classes["mitigation"]
    assert "two" not in inside.classes["mitigation"]
    registry_module.own_registry.cache_clear()


def test_a_class_that_was_offered_by_itself_has_no_origin():
    from dataclasses import dataclass

    from collapse_bench import Mitigation

    @dataclass(frozen=True)
    class Own(Mitigation):
        pass

    found = Registry.discover()
    found.offer("mitigation", "own", Own)
    assert found.origins(found.cell("gaussian | gaussian-fit | replace | own")) is None
