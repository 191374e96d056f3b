"""One core, no network, no luck: the same examples in every run."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.pop("COLLAPSE_BENCH_PLUGINS", None)

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("house", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("house")


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run tests marked slow too")


def pytest_runtest_setup(item):
    torch.manual_seed(
        0
    )  # for tests whose numbers do not matter; the package itself draws from its streams alone


def pytest_collection_modifyitems(config, items):
    if config.getoption("--slow"):
        return
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="slow; run with --slow"))
