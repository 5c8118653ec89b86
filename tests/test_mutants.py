"""The faults of `make mutants` are single, real, and where a test could notice them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.mutants.__main__ import ROOT, beside_of, files, known_faults, sample
from tests.mutants.faults import faults_of


def wrongs(source: str) -> set[str]:
    return {fault.into(source) for fault in faults_of(source)}


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("a < b", "a <= b"),
        ("a == b", "a != b"),
        ("(a + 1) * b", "(a + 1) / b"),
        ("x = a and b", "x = a or b"),
        ("x = not a", "x = (a)"),
        ("x = 3", "x = 4"),
        ("x = True", "x = False"),
        ("x = a if b else c", "x = (c) if (b) else (a)"),
        ("log.write(1)", "pass"),
        ("größe = ä + ö", "größe = ä - ö"),
        ("def f(n=2): ...", "def f(n=3): ..."),
    ],
)
def test_a_fault_of_each_kind(right, wrong):
    assert wrong in wrongs(right)


@pytest.mark.parametrize(
    "source",
    ['"""1 + 1"""', "def f(a: int | None) -> int | None: ...", "raise E(1 + 1)", "__all__ = [1]", "f'{1 + 1}'"],
)
def test_no_fault_where_none_could_be_noticed(source):
    assert not wrongs(source)


def test_every_fault_of_the_core_compiles_and_is_in_the_line_it_names():
    for file in files():
        source = (ROOT / file).read_text(encoding="utf-8")
        for place, fault in enumerate(faults_of(source)):
            if place % 10 == 0:  # parsing thousands of files takes long, and they are parsed statement by statement
                ast.parse(fault.into(source))
            assert source.count("\n", 0, fault.start) + 1 == fault.line


def test_every_file_has_beside_of_it():
    for file in files():
        assert all((ROOT / tests).exists() for tests in beside_of(file))


def test_a_seed_repeats_its_faults_and_known_ones_are_left_out():
    chosen = sample(files(), 20, 3, set())
    assert len(chosen) == 20
    assert chosen == sample(files(), 20, 3, set())
    file, fault = chosen[0]
    line = Path(ROOT / file).read_text(encoding="utf-8").splitlines()[fault.line - 1].strip()
    known = {(file, line, fault.wrong.strip())}
    assert all((f, x) != (file, fault) for f, x in sample(files(), 2000, 3, known))


def test_each_fault_that_is_known_can_still_be_put_into_its_line():
    there = set()
    for file in files():
        source = (ROOT / file).read_text(encoding="utf-8")
        lines = [line.strip() for line in source.splitlines()]
        there |= {(file, lines[fault.line - 1], fault.wrong.strip()) for fault in faults_of(source)}
    assert not known_faults() - there, "lines that have changed since: is it still so?"
