"""An OpenQASM file that is damaged, or made by somebody who means harm, is refused in one line."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedket.bridges.qasm.reader import read_qasm
from tests.fuzz.garbage import Garbage, refused

SEEDS = st.integers(0, 2**63 - 1)
GOOD = b"""OPENQASM 3.0;
include "stdgates.inc";
input array[float[64], 2] x;
input float[64] w0;
const float[64] half = pi / 2;
gate mine(a, b) q, r { rx(a / 2 + b) q; ctrl @ ry(-a * b) q, r; inv @ U(a, 0, b ** 2) r; }
qubit[3] q;
mine(arctan(x[0]) * w0, half) q[0], q[1];
cx q[1], q[2]; h q; barrier q; cp(w0 - 3.5e-1) q[2], q[0];
"""


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr("fedket.bridges.qasm.reader.MAX_OPERATIONS", 500)


@settings(max_examples=20)
@given(seed=SEEDS)
def test_a_damaged_circuit_is_refused_or_read(seed):
    text = Garbage(seed).content(GOOD).decode("utf-8", "replace")
    with refused():
        read_qasm(text, "mine.qasm")
