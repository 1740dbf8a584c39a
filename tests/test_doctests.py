"""Every example in a docstring runs and prints what it says."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import skmtl

MODULES = sorted(
    module.name for module in pkgutil.walk_packages(skmtl.__path__, "skmtl.") if "__main__" not in module.name
)
# Where a line breaks, and digits replaced by "...", are not what an example is about.
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


@pytest.mark.parametrize("name", ["skmtl", *MODULES])
def test_examples_print_what_they_say(name):
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    printed: list[str] = []
    for example in doctest.DocTestFinder(exclude_empty=True).find(module, name):
        runner.run(example, out=printed.append)
    assert runner.failures == 0, "".join(printed)
