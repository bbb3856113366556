"""The kernel does what the path analysis takes for granted (tests/oracle/path_facts.py)."""

from __future__ import annotations

import json

import pytest

from tests.oracle.iptables_kernel import start
from tests.oracle.path_facts import CASES

pytestmark = pytest.mark.oracle


@pytest.fixture(scope="module")
def found() -> dict[str, str]:
    process = start("tests.oracle.path_facts")
    printed, _ = process.communicate(timeout=300)
    assert process.returncode == 0, "see the trace above"
    result: dict[str, str] = json.loads(printed)
    return result


@pytest.mark.parametrize("case", [case.__name__ for case in CASES])
def test_of_the_kernel(case: str, found: dict[str, str]) -> None:
    assert not found[case]
