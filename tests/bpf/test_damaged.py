"""Damaged and hostile objects: one error, or a reading; never anything else, and never long. 1,500 inputs of fixed seeds."""

from __future__ import annotations

import random
import struct
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markreg.bpf import BpfError, analyse_all
from markreg.bpf.btf import parse
from markreg.bpf.elf import is_bpf
from markreg.bpf.insn import Insn, decode
from markreg.bpf.objects import read
from markreg.formats import bpf_object, detect
from markreg.model import Scope
from markreg.source import Source
from tests.bpf.objects import assembled, built

FOLDER = Path(__file__).parent
OBJECTS = sorted((FOLDER / "cases").rglob("*.o"))
MUTATIONS = 20


def tried(data: bytes) -> str:
    """What comes of some bytes: an error's text, or nothing. Anything else fails."""
    began = time.process_time()
    try:
        analyse_all(read(data))
    except BpfError as error:
        return str(error)
    finally:
        assert time.process_time() - began < 5
    return ""


@pytest.mark.parametrize("path", OBJECTS, ids=lambda p: p.stem)
def test_flipped_overwritten_and_cut_bytes(path: Path) -> None:
    whole = path.read_bytes()
    choose = random.Random(path.stem)
    for _ in range(MUTATIONS):
        data = bytearray(whole)
        for _ in range(choose.choice((1, 2, 8, 64))):
            data[choose.randrange(len(data))] = choose.choice((0, 1, 0x7F, 0x80, 0xFF, choose.randrange(256)))
        tried(bytes(data))
        at = choose.randrange(len(whole) - 8)
        data = bytearray(whole)
        data[at : at + 4] = choose.choice(
            (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", struct.pack("<I", choose.randrange(1 << 20)))
        )
        tried(bytes(data))
    for end in sorted(choose.randrange(len(whole)) for _ in range(MUTATIONS // 2)):
        assert tried(whole[:end]), "the section headers stand at the end"


@settings(max_examples=200)
@given(st.sampled_from(OBJECTS), st.lists(st.tuples(st.integers(0, 100_000), st.binary(min_size=1, max_size=12)), max_size=6))
def test_bytes_that_somebody_chose(path: Path, changes: list[tuple[int, bytes]]) -> None:
    data = bytearray(path.read_bytes())
    for at, piece in changes:
        data[at % len(data) : at % len(data) + len(piece)] = piece
    tried(bytes(data))


rows = st.tuples(st.integers(0, 255), st.integers(0, 255), st.integers(-300, 300), st.integers(-(1 << 31), (1 << 31) - 1))


@settings(max_examples=150)
@given(st.lists(rows, max_size=60))
def test_any_code_comes_to_an_end(rows: list[tuple[int, int, int, int]]) -> None:
    code = [Insn(op, regs & 15, regs >> 4, off, imm) for op, regs, off, imm in rows]
    said = tried(built(assembled(code)))
    assert not said or said.endswith(("outside its section tc", "outside the code"))


@settings(max_examples=100)
@given(st.binary(max_size=200))
def test_types_of_any_bytes(data: bytes) -> None:
    for head in (b"", struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, max(len(data) - 20, 0), max(len(data) - 20, 0), 20)):
        try:
            found = parse(head + data)
        except BpfError:
            continue
        for number in range(len(found.types)):
            for ask in (found.resolve, found.members, found.size, found.pointed, found.array):
                with suppress(BpfError):
                    ask(number)


def test_types_that_go_round_in_circles() -> None:
    # Two typedefs of each other, and a structure without a name that holds itself.
    kinds = ((1, 8 << 24, 2), (1, 8 << 24, 1), (0, 4 << 24 | 1, 8), (0, 3, 0))
    rows = b"".join(struct.pack("<III", *kind) for kind in kinds)
    data = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(rows), len(rows), 6) + rows + b"\0name\0"
    found = parse(data)
    assert found.resolve(1) == 0
    assert found.size(1) == 0
    assert found.offset_of("", "mark") is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d[:40], "the ELF header is cut short"),
        (lambda d: b"\x7fELF\x01" + d[5:], "is no 64-bit ELF file"),
        (lambda d: d[:18] + b"\x3e\x00" + d[20:], "is an ELF file of machine 62, not of BPF (247)"),
        (lambda d: d[:16] + b"\x02\x00" + d[18:], "is no relocatable file (type 2)"),
        (lambda d: d[:5] + b"\x02" + d[6:], "is an ELF file of machine 63232, not of BPF (247)"),
        (lambda d: b"#!/bin/sh" + d, "is no ELF file"),
        (lambda d: d[:-100], "the section headers are outside the file"),
    ],
)
def test_what_is_wrong_is_said(change: object, said: str) -> None:
    whole = (FOLDER / "cases" / "s01_direct.o").read_bytes()
    assert tried(change(whole)) == said  # type: ignore[operator]


def test_a_damaged_object_is_a_problem_of_the_input() -> None:
    whole = (FOLDER / "cases" / "s01_direct.o").read_bytes()
    source = Source("cut.o", whole[:-100])
    assert (found := detect(source)) and found[1] == "bpf-object"
    reading = bpf_object.read(source, "bpf-object", Scope())
    assert [(p.path, p.message) for p in reading.problems] == [("cut.o", "the section headers are outside the file")]
    assert not is_bpf(b"\x7fELF\x02\x01" + bytes(12) + b"\x3e\x00")


def test_an_instruction_that_is_cut_off() -> None:
    with pytest.raises(BpfError, match="no whole number"):
        decode(bytes(12))


# Twelve functions that each call the next one twice; a function that calls itself; a loop that moves the mark for ever; many branches.
HOSTILE = {
    "ladder": [row for _ in range(12) for row in ((0x85, 0x11, 0, 2), (0x85, 0x11, 0, 1), (0x95, 0, 0, 0))] + [(0x95, 0, 0, 0)] * 3,
    "recursion": [(0x85, 0x11, 0, -1), (0x95, 0, 0, 0)],
    "loop": [(0x61, 0x12, 8, 0), (0x67, 2, 0, 1), (0x0F, 0x23, 0, 0), (0x63, 0x31, 8, 0), (0x05, 0, -5, 0)],
    "wide": [row for n in range(1500) for row in ((0x61, 0x12, 8, 0), (0x45, 2, 1, 1 << n % 31), (0x62, 1, 8, n))] + [(0x95, 0, 0, 0)],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_code_made_to_take_long_is_given_up_and_widened(name: str) -> None:
    code = [Insn(op, regs & 15, regs >> 4, off, imm) for op, regs, off, imm in HOSTILE[name]]
    began = time.process_time()
    (facts,) = analyse_all(read(built(assembled(code))))
    assert time.process_time() - began < 5
    if name in ("ladder", "recursion"):
        assert facts.limits == ("calls go deeper than the kernel allows",)
        assert facts.mark.mask == facts.mark.reads == 0xFFFFFFFF


def test_thousands_of_functions_in_one_another_are_given_up() -> None:
    code = assembled([Insn(0xB7, 0, 0, 0, 0)] * 6_000 + [Insn(0x95, 0, 0, 0, 0)])
    began = time.process_time()
    found = analyse_all(read(built(code, entries=range(0, 6_000, 2))))
    assert time.process_time() - began < 10
    assert len(found) == 3_000
    assert not found[0].limits
    assert found[-1].limits == ("too much code for one object",)
    assert found[-1].mark.mask == 0xFFFFFFFF


def test_sections_that_are_all_the_whole_file() -> None:
    whole = bytearray((FOLDER / "cases" / "s01_direct.o").read_bytes())
    start, count = struct.unpack_from("<Q", whole, 40)[0], struct.unpack_from("<H", whole, 60)[0]
    for number in range(1, count):
        struct.pack_into("<QQ", whole, start + 64 * number + 24, 0, len(whole))
    assert tried(bytes(whole)) == "the sections overlap"


def test_names_that_do_not_end() -> None:
    data = built(assembled([Insn(0x95, 0, 0, 0, 0)]))
    names = data.index(b"\0tc\0.symtab")
    data = data[:names] + data[names : names + 28].replace(b"\0", b"x") + data[names + 28 :]
    (facts,) = analyse_all(read(data))
    assert len(facts.program.name) < 1100
