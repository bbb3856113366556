"""Objects through the command line: uses with their places and source lines, owners, findings, options."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from markreg.bpf import elf
from markreg.bpf.insn import decode
from tests.bpf.objects import built
from tests.support import markreg

FOLDER = Path(__file__).parent
Audit = Callable[..., dict[str, Any]]
CASES = FOLDER / "cases"
OWN = FOLDER / "own"


@pytest.fixture
def audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Audit:
    """`markreg audit FILE … --format json` of copies of objects in an empty folder."""

    def run(*objects: Path, options: str = "") -> dict[str, Any]:
        for path in objects:
            shutil.copy(path, tmp_path)
        names = " ".join(path.name for path in objects)
        printed = markreg(f"markreg audit {names} {options} --format json --exit-zero", tmp_path, monkeypatch)
        said: dict[str, Any] = json.loads(printed)
        return said

    return run


def uses(said: dict[str, Any], program: str, kind: str = "bpf") -> list[dict[str, Any]]:
    return [u for u in said["uses"] if u["place"].get("program") == program and u["place"]["kind"] == kind]


def test_objects_without_marks_say_nothing(audit: Audit) -> None:
    said = audit(CASES / "s14_negative.o")
    assert (said["uses"], said["findings"], said["complete"]) == ([], [], True)
    assert said["inputs"][0] | {"scope": None} == {
        "path": "s14_negative.o", "format": "bpf-object", "scope": None, "statements": 6, "mark_statements": 0, "not_understood": 0,
    }  # fmt: skip


def test_a_use_has_its_place_and_its_source_line(audit: Audit) -> None:
    said = audit(CASES / "s03_cond.o")
    write, *_ = [u for u in uses(said, "pick") if u["access"] == "write"]
    assert write["mask"] == "0xffffffff"
    assert write["effect"]["may_set"] == "0x3300000"
    place = {"kind": "bpf", "text": "bpf pick (tc) in s03_cond.o", "family": "inet"}
    assert write["place"] == place | {"object": "s03_cond.o", "program": "pick", "section": "tc"}
    assert write["location"] == {
        "path": "s03_cond.o",
        "line": None,
        "column": None,
        "end_column": None,
        "text": "./s03_cond.c:19: s->mark = v;",
    }
    assert {tuple(u["accepts"][0]) for u in uses(said, "chain") if u["access"] == "read"} == {(v, v) for v in ("0xa00", "0xb00", "0xc00")}


def test_what_is_put_back_is_no_write(audit: Audit) -> None:
    said = audit(CASES / "s03_cond.o")
    (use,) = uses(said, "save_restore")
    assert (use["access"], use["mask"], use["value"]) == ("write", "0x0", "0x0")
    assert use["effect"]["transient"] == {
        "mask": "0xffffffff",
        "may_set": "0xee",
        "may_clear": "0xffffff11",
        "unknown": "0x0",
        "copies": [],
    }
    assert not any("transient" in u["effect"] for u in uses(said, "pick") if u["access"] != "read")


def test_marks_of_sockets_lookups_connections_and_traces(audit: Audit) -> None:
    sockets = audit(CASES / "s07_sock.o")
    (given,) = uses(sockets, "conn_opt", "socket")
    assert (given["access"], given["value"], given["effect"]["may_set"]) == ("write", "0x539", "0x539")
    assert not uses(sockets, "other_opt", "socket")
    assert [u["access"] for u in uses(sockets, "conn_sk", "socket")] == ["read"]
    assert uses(sockets, "skb_sk")[0]["effect"]["copies"][0]["from"] == "sk_mark"
    assert uses(sockets, "sock_set")[0]["place"]["hooks"] == [{"hook": "socket", "priority": 0}]
    lookups = audit(CASES / "s11_fib.o")
    assert [(u["mask"], u["value"]) for u in uses(lookups, "fib_mark", "route")] == [("0x200", "0x200")]
    assert not uses(lookups, "fib_plain", "route")
    core = audit(CASES / "s10_core.o")
    assert [(u["field"], u["access"]) for u in uses(core, "trace_mark", "trace")] == [("skb_mark", "read")]
    (copy,) = [u for u in uses(core, "ct_write") if u["field"] == "ct_mark"]
    assert (copy["access"], copy["mask"], copy["effect"]["copies"][0]["from"]) == ("copy", "0xffffffff", "skb_mark")
    assert [u["mask"] for u in uses(core, "ct_read") if u["field"] == "ct_mark"] == ["0xff"]


def test_the_words_of_cb_are_uses_when_they_are_asked_for(audit: Audit) -> None:
    assert {u["field"] for u in audit(CASES / "s06_tail.o")["uses"]} == {"skb_mark"}
    said = audit(CASES / "s06_tail.o", options="--fields cb1")
    assert {(u["place"]["program"], u["access"], u["mask"]) for u in said["uses"] if u["field"] == "cb1"} == {
        ("first", "copy", "0xffffffff"),
        ("second", "read", "0xff0000"),
    }
    first = next(p for p in said["programs"] if p["place"]["program"] == "first")
    assert first["tail_calls"] == [{"map": "jumps", "slot": 1}]


@pytest.mark.parametrize(
    ("options", "mask", "value"),
    [
        ("", "0xffffffff", None),
        ("--bpf-const as-built", "0xf00000", "0x500000"),
        ("--bpf-const cfg_mask=0xff --bpf-const cfg_value=0x11", "0xff", "0x11"),
    ],
)
def test_constants_of_the_loader(audit: Audit, options: str, mask: str, value: str | None) -> None:
    said = audit(CASES / "s08_config.o", options=options)
    (write,) = uses(said, "from_rodata")
    assert (write["mask"], write["value"]) == (mask, value)
    site = next(p for p in said["programs"] if p["place"]["program"] == "from_rodata")["sites"][0]
    assert bool(site["from"]) == (value is None)


@pytest.mark.parametrize("word", ["x", "=1", "NAME=", "NAME=zz"])
def test_a_constant_that_is_none_is_a_usage_error(word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(CASES / "s08_config.o", tmp_path)
    assert "--bpf-const" in markreg(f"markreg audit s08_config.o --bpf-const {word}", tmp_path, monkeypatch)


def test_a_narrow_store_is_read_as_it_is_meant_and_said(audit: Audit) -> None:
    said = audit(CASES / "s15_narrow_store.o")
    found = {f["mask"]: f["severity"] for f in said["findings"] if f["code"] == "MK207"}
    assert found == {"0xff00": "note", "0xffff0000": "note", "0xff0000": "note"}
    assert [u["value"] for u in uses(said, "byte_store")] == ["0x300"]
    assert not [f for f in audit(CASES / "s01_direct.o")["findings"] if f["code"] == "MK207"]


def test_a_component_is_known_by_its_object_and_its_codes_by_their_names(audit: Audit) -> None:
    said = audit(OWN / "bpf_lxc.o")
    assert [c["name"] for c in said["components"]] == ["cilium"]
    (given,) = uses(said, "cil_from_container")
    assert (given["value"], given["reservation"], given["means"]) == (
        "0x200",
        "cilium/magic",
        ["cilium/magic 0x200: to proxy, or cluster id"],
    )
    write = next(u for u in uses(said, "cil_to_container") if u["access"] == "write")
    assert (write["owner"], write["reservation"], write["means"]) == ("cilium", "cilium/magic", ["cilium/magic 0x400: overlay"])
    (ored,) = [f for f in said["findings"] if f["code"] == "MK206"]
    assert (ored["severity"], ored["mask"]) == ("warning", "0xf00")
    assert "over 0x400 it gives 0x600" in ored["message"]


def test_one_of_several_codes_that_a_program_may_write(audit: Audit) -> None:
    said = audit(OWN / "from_wep.o")
    read, write = uses(said, "cali_accept")
    assert (read["owner"], read["means"]) == ("calico", ["calico/bpf-flags 0x3000000: bypass"])
    assert write["means"] == ["calico/bpf-flags 0x1000000: seen", "calico/bpf-flags 0x3000000: bypass"]
    assert write["attributed_by"] in ("map cali_v4_signals", "program cali_accept")


def test_components_are_known_by_the_maps_that_they_use(audit: Audit, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    other.mkdir()
    shutil.copy(OWN / "bpf_lxc.o", other / "some.o")
    said = audit(other / "some.o")
    assert next(c for c in said["components"] if c["name"] == "cilium")["evidence"]
    assert {u["attributed_by"] for u in uses(said, "cil_to_container")} <= {"map cilium_signals", "program cil_to_container"}


def test_values_that_travel_through_maps_are_told_as_an_assumption(audit: Audit) -> None:
    said = audit(OWN / "bpf_lxc.o")
    program = next(p for p in said["programs"] if p["place"]["program"] == "unpark")
    (site,) = program["sites"]
    assert (site["unknown"], site["from"]) == ("0xffff", ["map:parked+4"])
    assert site["assumed"] == {
        "if": "nobody else writes parked",
        "may_set": "0x3100",
        "may_clear": "0xffff",
        "unknown": "0x0",
        "copies": [],
    }
    assert program["assumptions"] == ["nobody else writes parked"]
    assert uses(said, "unpark")[0]["effect"]["unknown"] == "0xffff"


def test_a_program_that_is_given_up_makes_the_run_incomplete(audit: Audit, tmp_path: Path) -> None:
    endless = tmp_path / "endless"
    endless.mkdir()
    (endless / "deep.o").write_bytes(built(bytes.fromhex("85100000ffffffff9500000000000000")))
    said = audit(endless / "deep.o")
    assert not said["complete"]
    (found,) = [f for f in said["findings"] if f["code"] == "MK904"]
    assert "calls go deeper than the kernel allows" in found["message"]
    assert {(u["access"], u["mask"]) for u in said["uses"]} == {("read", "0xffffffff"), ("write", "0xffffffff")}


def test_the_text_shows_the_source_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(OWN / "bpf_lxc.o", tmp_path)
    printed = markreg("markreg audit bpf_lxc.o --select MK206", tmp_path, monkeypatch)
    assert './bpf_lxc.c:6: SEC("tc") int cil_from_container' in printed
    assert "(mark & ~0xf00) | 0x200" in printed


@pytest.mark.parametrize("path", sorted(CASES.rglob("*.o")), ids=lambda p: p.stem)
def test_elf_files_are_read_as_pyelftools_reads_them(path: Path) -> None:
    from elftools.elf.elffile import ELFFile

    with path.open("rb") as file:
        theirs: Any = ELFFile(file)
        mine = elf.read(path.read_bytes())
        assert [(s.name, s.data) for s in mine.sections[1:]] == [(s.name, s.data()) for s in list(theirs.iter_sections())[1:]]
        table = theirs.get_section_by_name(".symtab")
        named = [(s.name, s["st_value"], s["st_size"]) for s in table.iter_symbols() if s["st_info"]["type"] != "STT_SECTION"]
        assert [(s.name, s.value, s.size) for s in mine.symbols if s.type != elf.SECTION] == named
        code = [s for s in mine.sections if s.flags & elf.EXECINSTR and s.data]
        for section in code:
            found = theirs.get_section_by_name(f".rel{section.name}")
            offsets = [r["r_offset"] for r in found.iter_relocations()] if found else []
            assert [r.offset for r in mine.relocations.get(section.number, ())] == offsets
            assert len(decode(section.data, mine.order)) == len(section.data) // 8
