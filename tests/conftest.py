"""One core, no network, no luck: the same examples in every run."""

from __future__ import annotations

import gc
import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.pop("COLLAPSE_BENCH_PLUGINS", None)

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("quick", deadline=None, derandomize=True, max_examples=20)
settings.register_profile("slow", deadline=None, derandomize=True, max_examples=60)


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run tests marked slow too")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """``pytest -n 2`` gives each process neighbouring tests, which share fixtures and cached runs."""
    if getattr(config.option, "numprocesses", None) and config.option.dist == "no":
        config.option.dist = "worksteal"


def pytest_configure(config):
    settings.load_profile("slow" if config.getoption("slow") else "quick")


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Imports leave little garbage: a fifth of the time of collection went into the search for it."""
    gc.disable()
    yield
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="module", autouse=True)
def plugins_of_one_module():
    """Plugins that the tests of a module loaded are unloaded after its last test.

    Some tests check every plugin that is loaded.  Which modules share a process is chance.
    """
    from collapse_bench.registry.discovery import registry

    before = {plugin.file for plugin in registry().plugins}
    yield
    for plugin in [plugin for plugin in registry().plugins if plugin.file not in before]:
        registry()._unload(plugin)


def pytest_runtest_setup(item):
    torch.manual_seed(0)  # for tests whose numbers do not matter; the package has its own streams


def pytest_collection_modifyitems(config, items):
    """Without ``--slow``, the tests marked slow are deselected."""
    if config.getoption("slow"):
        return
    slow = [item for item in items if "slow" in item.keywords]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if "slow" not in item.keywords]


@pytest.fixture
def folder(tmp_path):
    """A folder with a.txt and b/c.txt."""
    place = tmp_path / "data"
    (place / "b").mkdir(parents=True)
    (place / "a.txt").write_text("one")
    (place / "b" / "c.txt").write_text("two")
    return place
