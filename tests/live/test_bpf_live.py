"""Programs that are attached in a network namespace, as a live audit and a captured node find them. Nothing of the node changes."""

from __future__ import annotations

import json
import os
import random
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from markreg.collect import bpf_types, namespaces
from markreg.collect.bpf_syscall import MAP_GET_FD_BY_ID, call, opened
from markreg.collect.isolated import call as isolated
from markreg.collect.limits import Budget
from markreg.collect.namespaces import Namespace
from markreg.formats import bpf_object, bpf_xlated
from markreg.model import Reading, Scope
from markreg.source import Source
from tests.live.test_live import audit, inside, run
from tests.oracle.bpf_kernel import SCHED_CLS, load, map_write
from tests.oracle.bpf_objects import SOURCE
from tests.oracle.bpf_objects import built as compiled
from tests.oracle.bpf_objects import program as loaded_program

pytestmark = pytest.mark.oracle

PROG_ATTACH, CGROUP_SOCK = 8, 9
TCX_INGRESS, SOCK_CREATE = 46, 2
RETURN_ZERO = struct.pack("<BBhi", 0xB7, 0, 0, 0) + struct.pack("<BBhi", 0x95, 0, 0, 0)


@pytest.fixture
def netns() -> Iterator[str]:
    name = f"markreg-bpf-{os.getpid()}-{random.SystemRandom().randrange(1 << 32):08x}"
    run("ip", "netns", "add", name)
    try:
        inside(name, "ip", "link", "add", "d0", "type", "veth", "peer", "name", "d1")
        inside(name, "tc", "qdisc", "add", "dev", "d0", "clsact")
        yield name
    finally:
        run("ip", "netns", "delete", name)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("bpf"))


def attach(netns: str, built: Path, section: str, *where: str) -> None:
    inside(netns, "tc", "filter", "add", "dev", "d0", *where, "bpf", "da", "obj", built, "sec", section)


def captured(netns: str) -> tuple[dict[str, Any], list[str]]:
    """What the collector says of programs: its document, empty if there is none, and what could not be read."""
    taken = namespaces.take([Namespace("n", f"/run/netns/{netns}")], 60)
    found = [c for c in taken.captures if c.notation == "bpf-xlated"]
    return json.loads(found[0].data) if found else {}, [f"{f.name}: {f.why}" for f in taken.failures]


def by_name(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {p["name"]: p for p in document.get("programs", [])}


def state() -> str:
    """The programs and maps of the machine."""
    return run("bpftool", "prog", "show") + run("bpftool", "map", "show")


def test_where_there_are_none_nothing_is_captured(netns: str) -> None:
    document, failures = captured(netns)
    assert not [p for p in document.get("programs", []) if p["attached"][0]["hook"] != "cgroup"]
    assert not [f for f in failures if "bpf" in f.lower()]


def test_programs_on_a_device_with_their_order(netns: str, built: Path) -> None:
    attach(netns, built, "one", "ingress", "prio", "7")
    attach(netns, built, "two", "ingress", "prio", "3", "chain", "2")
    attach(netns, built, "three", "egress", "prio", "9")
    before = state()
    document, failures = captured(netns)
    assert state() == before
    assert not failures
    programs = by_name(document)
    assert {n: programs[n]["attached"] for n in ("set_field", "calls", "from_map")} == {
        "set_field": [{"hook": "tc", "direction": "ingress", "device": "d0", "priority": 7}],
        "calls": [{"hook": "tc", "direction": "ingress", "device": "d0", "priority": 2 * 65536 + 3}],
        "from_map": [{"hook": "tc", "direction": "egress", "device": "d0", "priority": 9}],
    }
    assert programs["from_map"]["maps"][0]["name"] == "rules"
    assert "mark" in run("bpftool", "prog", "dump", "xlated", "id", str(programs["set_field"]["id"]), "linum")
    file, line, text = programs["set_field"]["sources"][1]
    assert (Path(file).name, text) == ("programs.c", SOURCE.read_text().splitlines()[line - 1].strip())
    assert dict(programs["calls"]["functions"]).keys() > {0}
    assert document["offsets"]["sk_buff.mark"] == struct.unpack_from("<h", bytes.fromhex(programs["set_field"]["insns"]), 2)[0]


def said(reading: Reading, hook: str = "") -> dict[str, set[tuple[object, ...]]]:
    """What a reading says of the programs at one hook, by program."""
    found: dict[str, set[tuple[object, ...]]] = {}
    for use in reading.uses:
        if use.place.attach == hook:
            what = (use.field, use.access, use.mask, use.effect, use.predicate, use.clause, use.possible, use.transient)
            found.setdefault(use.place.program, set()).add(what)
    return found


def test_a_loaded_program_is_what_its_object_file_is(netns: str, built: Path) -> None:
    """The same uses, at the same source lines, from the file and from what the kernel made of it."""
    for number, section in enumerate(("one", "two", "three", "four", "five"), 1):
        attach(netns, built, section, "ingress", "prio", str(number))
    document, _ = captured(netns)
    live = bpf_xlated.read(Source("bpf programs", json.dumps(document).encode()), "bpf-xlated", Scope())
    file = bpf_object.read(Source(str(built), built.read_bytes()), "bpf-object", Scope())
    expected = said(file)
    del expected["of_socket"]
    assert said(live, "tc") == expected
    assert set(expected) == {"set_field", "calls", "from_map", "jumper"}
    assert {u.place.text.partition(") ")[2] for u in live.uses if u.place.program == "from_map"} == {"tc ingress dev d0 pref 3"}


def test_bpftool_says_the_same(netns: str, built: Path) -> None:
    for number, section in enumerate(("one", "two", "three", "four"), 1):
        attach(netns, built, section, "ingress", "prio", str(number))
    document, _ = captured(netns)
    net = inside(netns, "bpftool", "-j", "net", "show")
    parts = [net, run("bpftool", "-j", "btf", "dump", "file", "/sys/kernel/btf/vmlinux")]
    parts += [run("bpftool", "-j", kind, "show") for kind in ("prog", "map")]
    for entry in json.loads(net)[0]["tc"]:
        command = ("bpftool", "-j", "prog", "dump", "xlated", "id", str(entry["id"]), "opcodes")
        parts += [f"# {' '.join(command)}", run(*command)]
    told = bpf_xlated.read(Source("bpftool", "\n".join(parts).encode()), "bpf-xlated", Scope())
    mine = bpf_xlated.read(Source("bpf programs", json.dumps(document).encode()), "bpf-xlated", Scope())
    assert not told.problems
    assert not told.unread
    assert [(u.place.program, u.access, u.mask, u.effect, u.predicate) for u in told.uses] == [
        (u.place.program, u.access, u.mask, u.effect, u.predicate) for u in mine.uses
    ]
    assert all(use.clause in SOURCE.read_text() for use in told.uses)


def test_tcx_and_a_cgroup(netns: str, built: Path, tmp_path: Path) -> None:
    mounted = next(m.split()[1] for m in Path("/proc/mounts").read_text().splitlines() if m.split()[2] == "cgroup2")
    cgroup = Path(mounted) / f"markreg-{os.getpid()}"
    cgroup.mkdir()
    handle = load(RETURN_ZERO, SCHED_CLS, b"on_tcx")
    try:
        index = int(inside(netns, "cat", "/sys/class/net/d0/ifindex"))
        asked = struct.pack("=5I", index, handle, TCX_INGRESS, 0, 0)
        isolated(lambda: str(call(PROG_ATTACH, asked)).encode(), Budget(), f"/run/netns/{netns}")
        with loaded_program(built, "of_socket", CGROUP_SOCK) as socket_handle:
            folder = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY)
            call(PROG_ATTACH, struct.pack("=5I", folder, socket_handle or 0, SOCK_CREATE, 0, 0))
            os.close(folder)
        document, failures = captured(netns)
    finally:
        os.close(handle)
        cgroup.rmdir()
    assert not failures
    assert by_name(document)["on_tcx"]["attached"] == [{"hook": "tcx", "direction": "ingress", "device": "d0", "priority": 0}]
    place = {"hook": "cgroup", "direction": "sock_create", "device": f"/{cgroup.name}", "priority": 0}
    assert by_name(document)["of_socket"]["attached"] == [place]


def test_a_program_in_a_map_of_programs_is_found_and_one_that_nobody_calls_is_not(netns: str, built: Path) -> None:
    attach(netns, built, "four", "ingress", "prio", "1")
    target, alone = load(RETURN_ZERO, SCHED_CLS, b"target"), load(RETURN_ZERO, SCHED_CLS, b"alone")
    try:
        said = json.loads(run("bpftool", "-j", "prog", "show", "name", "jumper"))
        jumper = said if isinstance(said, dict) else said[-1]
        # A map of programs is emptied when no process and no pin holds it.
        with opened(MAP_GET_FD_BY_ID, jumper["map_ids"][0]) as slots:
            map_write(slots, struct.pack("=I", 1), struct.pack("=I", target))
            document, failures = captured(netns)
    finally:
        os.close(target)
        os.close(alone)
    programs = by_name(document)
    assert not failures
    assert "alone" not in programs
    assert (programs["target"]["attached"], programs["target"]["callers"]) == ([], [programs["jumper"]["id"]])


def test_without_the_kernels_types_nothing_is_guessed(netns: str, built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attach(netns, built, "one", "ingress")
    bpf_types.kernel_offsets.cache_clear()
    monkeypatch.setattr(bpf_types, "KERNEL", Path("/nowhere/vmlinux"))
    document, failures = captured(netns)
    assert not document
    why = "No such file or directory; only the kernel's types say where a packet keeps its mark"
    assert failures == [f"marks in BPF programs (netns n): /nowhere/vmlinux: {why}"]


def test_who_may_not_ask_is_told(netns: str, built: Path) -> None:
    attach(netns, built, "one", "ingress")
    done = audit(netns, "audit", before=("setpriv", "--bounding-set=-sys_admin,-bpf", "--inh-caps=-sys_admin,-bpf"))
    assert "bpf programs could not be read: Operation not permitted; this takes root (CAP_SYS_ADMIN)" in " ".join(done.stdout.split())


def test_live_and_collected_are_the_same(netns: str, built: Path, tmp_path: Path) -> None:
    """A filter reads what a program on the way in writes; both stand in the map, and the archive of the node says the same."""
    attach(netns, built, "one", "ingress", "prio", "7")
    inside(
        netns, "nft", "-f", "-", data="table ip x { chain p { type filter hook prerouting priority 0; meta mark & 0x700 == 0x300 drop; }; }"
    )
    before = state()
    live = json.loads(audit(netns, "audit", "--format", "json").stdout)
    made = tmp_path / "node.tar.gz"
    assert audit(netns, "collect", "-o", str(made)).returncode == 0
    assert state() == before
    collected = json.loads(audit(netns, "audit", str(made), "--format", "json").stdout)
    assert [(f["code"], f["mask"], f["owners"], f["fingerprint"]) for f in collected["findings"]] == [
        (f["code"], f["mask"], f["owners"], f["fingerprint"]) for f in live["findings"]
    ]
    (use,) = [u for u in live["uses"] if u["place"]["kind"] == "bpf"]
    place = {k: use["place"][k] for k in ("program", "attach", "direction", "device", "priority")}
    assert place == {"program": "set_field", "attach": "tc", "direction": "ingress", "device": "d0", "priority": 7}
    assert (use["mask"], use["value"]) == ("0xf00", "0x300")
