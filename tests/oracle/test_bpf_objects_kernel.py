"""Programs of object files in the kernel, on 200 packets each with random marks, cb words and contents of maps: nothing may happen that the
analysis of the file forbids, flipping a bit that is not read changes nothing but itself, and the instructions that the kernel made
of the program say the same as the file."""

from __future__ import annotations

import contextlib
import random
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from markreg.bpf import SK_BUFF, Program, analyse, objects
from markreg.bpf.insn import OP_CALL, Insn
from markreg.collect import bpf, bpf_programs, tools
from markreg.collect.bpf_attached import Attachment
from markreg.formats import bpf_object, bpf_xlated
from markreg.model import Reading, Scope
from markreg.source import Source
from tests.bpf.interpreter import RANDOM
from tests.bpf.soundness import influences, outside, packets, some_bits
from tests.oracle.bpf_kernel import SCHED_CLS, Running
from tests.oracle.bpf_objects import built, identity, program
from tests.support import ROOT

pytestmark = pytest.mark.oracle

PACKETS, FLIPPED = 200, 4
CASES = ROOT / "tests" / "bpf" / "cases"
TRUTH = tomllib.loads((CASES / "truth.toml").read_text())["program"]
# enum bpf_prog_type of the kinds in truth.toml.
KINDS = {"skb": SCHED_CLS, "sock": 9, "sockaddr": 18, "sockops": 13}


@contextlib.contextmanager
def running(path: Path, name: str) -> Iterator[Running | None]:
    """A program of a file in the kernel; None where it is refused."""
    with program(path, name, SCHED_CLS) as handle:
        if handle is None:
            yield None
            return
        number = identity(handle)
        maps = next(p.maps for p in bpf_programs.programs(100_000) if p.id == number)
        one = Running(handle, maps)
        try:
            yield one
        finally:
            one.close()


def held(path: Path) -> tuple[int, list[str]]:
    """Runs every program of a file that is given packets: how many were taken, and the names of those that were refused."""
    taken, refused = 0, []
    for found in objects.read(path.read_bytes()).programs:
        if found.context is not SK_BUFF:
            continue
        with running(path, found.name) as kernel:
            if kernel is None:
                refused.append(found.name)
                continue
            taken += 1
            by_chance = any(insn.op == OP_CALL and insn.imm == RANDOM for insn in _code(found))
            # Data sections are filled at random, so what a file says of them counts for nothing.
            facts = analyse(found)
            choose = random.Random(found.name)
            given = packets(choose.getrandbits(32), PACKETS)
            for number, packet in enumerate(given):
                if not number % 20:
                    kernel.fill(choose)
                faults = list(outside(facts, packet, kernel.run(packet)))
                if number < FLIPPED and not by_chance:
                    faults += influences(facts, packet, kernel.run, some_bits(number, 8))
                assert not faults, f"{path.name} {found.name}: {faults[0]}"
    return taken, refused


def _code(found: Program) -> list[Insn]:
    """The instructions of a program up to the next function."""
    return found.image.code[found.entry : min((at for at in found.image.functions if at > found.entry), default=None)]


def test_our_own_programs(tmp_path: Path) -> None:
    assert held(built(tmp_path)) == (5, [])


def cases() -> list[Path]:
    """Those of every compiler that are for this machine's byte order."""
    return sorted([*CASES.glob("*.o"), *CASES.glob("variants/*.c*.o")])


def test_case_files() -> None:
    refusable = {p["name"] for p in TRUTH if not p.get("other", {}).get("loadable", True)}
    total = 0
    for path in cases():
        taken, refused = held(path)
        total += taken
        assert set(refused) <= refusable, path.name
    assert total > 90


def said(reading: Reading, name: str) -> set[tuple[object, ...]]:
    """What a reading says of one program."""
    return {
        (u.field, u.access, u.mask, u.effect, u.predicate, u.clause, u.possible, u.transient, u.place.kind)
        for u in reading.uses
        if u.place.program == name
    }


def collected(handle: int) -> Reading:
    """A program in the kernel as the collector and its notation have it, as if it were attached."""
    number = identity(handle)
    known = {p.id: p for p in bpf_programs.programs(100_000)}
    node = tools.Live(30)
    bpf._Capture(node, known, [Attachment(number, "tc", "ingress", "eth0", 1)]).take()
    assert not node.failures
    return bpf_xlated.read(Source("bpf", node.captures[0].data), "bpf-xlated", Scope())


def test_what_is_loaded_says_the_same_as_its_file() -> None:
    """Every case that the kernel takes, whatever its type: the same uses, at the same source lines."""
    compared = 0
    for path in cases():
        file = bpf_object.read(Source(path.name, path.read_bytes()), "bpf-object", Scope())
        for entry in TRUTH:
            if entry["object"].removesuffix(".o") != path.name.partition(".")[0] or entry["kind"] not in KINDS:
                continue
            with program(path, entry["name"], KINDS[entry["kind"]]) as handle:
                if handle is not None:
                    compared += 1
                    assert said(collected(handle), entry["name"]) == said(file, entry["name"]), f"{path.name} {entry['name']}"
    assert compared > 100
