"""The teacher as the data generator meets it."""

from __future__ import annotations

import copy
import gc
import weakref

import pytest
import torch

from collapse_bench.core.examined import examined, forget
from collapse_bench.lib.distributions.gaussians import GaussianTeacher


def teacher():
    return GaussianTeacher(torch.zeros(1, 1).double(), torch.eye(1).double()[None])


def test_it_can_be_copied():
    judged = examined(teacher())
    assert torch.equal(copy.copy(judged).mean_and_factor()[0], judged.mean_and_factor()[0])
    with pytest.raises(AttributeError):
        judged.no_such_attribute  # noqa: B018


def test_the_last_teacher_is_let_go():
    one = teacher()
    examined(one)
    known = weakref.ref(one)
    forget()
    del one
    gc.collect()
    assert known() is None
