"""Loaded BPF programs as captures tell of them: code that the kernel translated, places, and documents that are broken."""

from __future__ import annotations

import json
import struct
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markreg.formats import bpf_xlated, detect, nft
from markreg.formats._bpf_helpers import number
from markreg.model import Hook, Node, Owned, Reading, Scope, Use
from markreg.paths.analysis import Paths
from markreg.source import Source

MARK, CB, SK, SK_MARK = 164, 48, 24, 524
OFFSETS = {"sk_buff.mark": MARK, "sk_buff.cb": CB, "sk_buff.sk": SK, "sock.sk_mark": SK_MARK, "bpf_sock_addr_kern.sk": 0}
TC = {"hook": "tc", "direction": "ingress", "device": "eth0", "priority": 7}


def slot(op: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> bytes:
    return struct.pack("<BBhI", op, dst | src << 4, off, imm & 0xFFFFFFFF)


EXIT = slot(0xB7) + slot(0x95)
# The mark's second byte becomes 3.
SET = slot(0x61, 2, 1, MARK) + slot(0x54, 2, 0, 0, 0xFFFF00FF) + slot(0x44, 2, 0, 0, 0x300) + slot(0x63, 1, 2, MARK) + EXIT
ARRAY_LOOKUP = b"".join(
    slot(*words)
    for words in (
        (0x07, 1, 0, 0, 272),
        (0x61, 0, 2, 0),
        (0x35, 0, 0, 3, 4),
        (0x67, 0, 0, 0, 3),
        (0x0F, 0, 1),
        (0x05, 0, 0, 1),
        (0xB7, 0),
    )
)


def program(code: bytes, identity: int = 42, **more: object) -> dict[str, Any]:
    return {"id": identity, "type": "sched_cls", "name": "prog", "tag": "00", "attached": [TC], "insns": code.hex()} | more


def document(*programs: dict[str, Any], **more: object) -> str:
    rows = ",\n".join(json.dumps(p) for p in programs)
    head = json.dumps({"markreg": "bpf", "order": "little", "offsets": OFFSETS} | more)
    return f'{head[:-1]},"programs":[\n{rows}\n]}}\n'


def read(text: str) -> Reading:
    source = Source("bpf.json", text.encode())
    found = detect(source)
    assert found is not None
    assert found[1] == "bpf-xlated"
    return bpf_xlated.read(source, "bpf-xlated", Scope())


def one(code: bytes, **more: object) -> Use:
    (use,) = read(document(program(code) | more)).uses
    return use


class TestSilent:
    @pytest.mark.parametrize(
        "code",
        [
            pytest.param(EXIT, id="nothing"),
            pytest.param(
                slot(0x61, 2, 1, 8) + slot(0x63, 1, 2, 176) + EXIT, id="other members, also at the offset that the mark has for programs"
            ),
            pytest.param(slot(0x7B, 10, 1, -8) + slot(0x62, 10, 0, -16 + 8, MARK) + EXIT, id="the stack"),
            pytest.param(slot(0x79, 2, 1, SK) + slot(0x15, 2, 0, 1) + slot(0x61, 3, 2, 16) + EXIT, id="offset 16 of a socket"),
        ],
    )
    def test_a_program_without_marks(self, code: bytes) -> None:
        reading = read(document(program(code)))
        assert (reading.uses, reading.unread, reading.problems, reading.opaque) == ((), (), (), ())
        assert (reading.statements, reading.mark_statements) == (1, 0)

    def test_one_that_is_attached_nowhere(self) -> None:
        assert not read(document(program(SET, attached=[]))).uses

    def test_one_of_a_type_that_has_no_mark(self) -> None:
        reading = read(document(program(SET, type="xdp")))
        assert not reading.uses
        assert not reading.unread

    def test_a_node_without_programs(self) -> None:
        assert read(document()).statements == 0


class TestCode:
    def test_a_field_that_is_set(self) -> None:
        use = one(SET, functions=[[0, "set_the_field"]])
        assert (use.field, use.access, use.mask, use.value) == ("skb_mark", "write", 0xFF00, 0x300)
        assert (use.place.object, use.place.program, use.place.kind) == ("id 42", "set_the_field", "bpf")
        assert use.place.text == "bpf set_the_field (id 42) tc ingress dev eth0 pref 7"

    def test_the_source_line(self) -> None:
        use = one(SET, sources=[["a.c", 12, "s->mark = x;"]], lines=[[1, 0]])
        assert use.clause == "a.c:12: s->mark = x;"

    def test_a_function_of_its_own_is_called_by_a_distance_in_off(self) -> None:
        code = slot(0x85, 0, 1, 2, 1) + slot(0xB7) + slot(0x95) + SET
        assert one(code).mask == 0xFF00

    def test_a_helper_that_is_not_known_gets_all_registers(self) -> None:
        code = slot(0x61, 2, 1, MARK) + slot(0x85, 0, 0, 0, 4711) + EXIT
        assert (one(code).access, one(code).mask) == ("read", 0xFFFFFFFF)
        assert not read(document(program(code, calls={"1": "bpf_user_rnd_u32"}))).uses

    def test_a_tail_call_leaves_the_mark_as_it_is_then(self) -> None:
        head = slot(0xB4, 2, 0, 0, 5) + slot(0x63, 1, 2, MARK) + slot(0x18, 2, 1, 0, 9) + slot(0) + slot(0xB4, 3, 0, 0, 1)
        code = slot(0xBF, 6, 1) + head + slot(0x85, 0, 0, 0, 12) + slot(0x62, 6, 0, MARK, 6) + EXIT
        reading = read(document(program(code, maps=[{"id": 9, "type": "prog_array", "name": "jumps"}])))
        assert {use.value for use in reading.uses} == {5, 6}
        assert reading.programs[0].tails == (("jumps", 1),)

    @pytest.mark.parametrize("lookup", ["array", "hash"])
    def test_a_look_up_that_the_kernel_wrote_out(self, lookup: str) -> None:
        """Where the mark gets its value is said as in the object file."""
        start = slot(0xBF, 6, 1) + slot(0x62, 10, 0, -4, 0) + slot(0xBF, 2, 10) + slot(0x07, 2, 0, 0, -4) + slot(0x18, 1, 1, 0, 9) + slot(0)
        found = slot(0x85, 0, 0, 0, 99) + slot(0x15, 0, 0, 1) + slot(0x07, 0, 0, 0, 56)
        call = ARRAY_LOOKUP if lookup == "array" else found
        code = start + call + slot(0x15, 0, 0, 2) + slot(0x61, 2, 0, 4) + slot(0x63, 6, 2, MARK) + EXIT
        calls = {"6": "__htab_map_lookup_elem"} if lookup == "hash" else {}
        reading = read(document(program(code, maps=[{"id": 9, "type": lookup, "name": "rules"}], calls=calls)))
        assert [site.origin for site in reading.programs[0].sites] == [("map:rules+4",)]
        assert "map rules" in reading.uses[0].statement

    def test_a_socket_and_its_mark(self) -> None:
        code = slot(0xB4, 2, 0, 0, 7) + slot(0x63, 1, 2, SK_MARK) + EXIT
        use = one(code, type="cgroup_sock", attached=[{"hook": "cgroup", "direction": "sock_create", "device": "/a", "priority": 0}])
        assert (use.mask, use.value, use.place.hooks) == (0xFFFFFFFF, 7, (Hook("socket", 0),))
        reading = slot(0x79, 2, 1, 0) + slot(0x15, 2, 0, 2) + slot(0x61, 3, 2, SK_MARK) + slot(0x15, 3, 0, 0, 5) + EXIT
        assert one(reading, type="cgroup_sock_addr").place.kind == "socket"

    def test_words_of_cb_when_they_are_asked_for(self) -> None:
        code = slot(0x61, 2, 1, MARK) + slot(0x63, 1, 2, CB + 4) + EXIT
        source = Source("bpf.json", document(program(code)).encode())
        reading = bpf_xlated.read(source, "bpf-xlated", Scope(), fields=frozenset(("cb1",)))
        assert {(use.field, use.access) for use in reading.uses} == {("skb_mark", "read"), ("cb1", "copy")}

    def test_a_big_endian_kernel(self) -> None:
        code = b"".join(
            struct.pack(">BBhI", *words)
            for words in ((0x71, 0x21, MARK, 0), (0x55, 0x20, 1, 9), (0xB7, 0, 0, 0), (0xB7, 0, 0, 1), (0x95, 0, 0, 0))
        )
        (use,) = read(document(program(code), order="big")).uses
        assert (use.mask, use.predicate and use.predicate.value) == (0xFF000000, 0x09000000)


class TestPlaces:
    @pytest.mark.parametrize(
        ("hook", "direction", "expected"),
        [
            ("tc", "ingress", "tc-ingress"),
            ("tc", "egress", "tc-egress"),
            ("tcx", "egress", "tc-egress"),
            ("netkit", "primary", "tc-egress"),
            ("netkit", "peer", "tc-ingress"),
        ],
    )
    def test_hooks(self, hook: str, direction: str, expected: str) -> None:
        place = one(SET, attached=[{"hook": hook, "direction": direction, "device": "eth0", "priority": 1}]).place
        assert [h.hook for h in place.hooks] == [expected]
        assert (place.attach, place.direction, place.device, place.priority) == (hook, direction, "eth0", 1)

    def test_the_order_of_programs_on_one_device(self) -> None:
        order = [("netkit", "peer", 0), ("tcx", "ingress", 0), ("tcx", "ingress", 1), ("tc", "ingress", 1), ("tc", "ingress", 49152)]
        hooks = [
            one(SET, attached=[{"hook": h, "direction": d, "device": "eth0", "priority": p}]).place.hooks[0].priority for h, d, p in order
        ]
        assert hooks == sorted(hooks)
        assert len(set(hooks)) == len(hooks)

    def test_rules_come_after_what_is_done_on_the_way_in_and_before_what_is_done_on_the_way_out(self) -> None:
        ruleset = "table ip x {\n chain p {\n type filter hook prerouting priority mangle;\n meta mark 0x300 accept\n }\n}\n"
        source = Source("nft", ruleset.encode())
        reading = nft.read(source, "nft", Scope())
        programs = [one(SET, attached=[TC | {"direction": d, "priority": p}]) for d, p in (("ingress", 1), ("ingress", 2), ("egress", 1))]
        uses = [Owned(f"u{n}", use, f"owner{n}") for n, use in enumerate((*programs, *reading.uses))]
        paths = Paths(Node((), (), tuple(uses), reading.tables), {"nft": source}, {"nft": nft.flow})
        first, second, outward, rule = uses
        assert paths.meets(first, rule)
        assert not paths.meets(outward, rule)
        assert paths.meets(first, second)
        assert not paths.meets(second, first)

    def test_packets_of_a_cgroup_come_after_the_rules(self) -> None:
        use = one(SET, type="cgroup_skb", attached=[{"hook": "cgroup", "direction": "egress", "device": "/pod", "priority": 0}])
        assert use.place.hooks == (Hook("postrouting", (1 << 31) - 1),)
        assert use.place.text == "bpf prog (id 42) cgroup egress /pod"

    def test_one_use_for_each_place(self) -> None:
        reading = read(document(program(SET, attached=[TC, TC | {"device": "eth1"}])))
        assert [use.place.device for use in reading.uses] == ["eth0", "eth1"]
        assert (reading.statements, reading.mark_statements) == (1, 1)

    def test_on_many_devices(self) -> None:
        places = [TC | {"device": f"cali{n}", "direction": d, "priority": n % 2} for n in range(300) for d in ("ingress", "egress")]
        reading = read(document(program(SET, attached=places)))
        assert [use.place.text for use in reading.uses] == [f"bpf prog (id 42) tc {d} at 300 places" for d in ("ingress", "egress")]
        assert reading.uses[0].place.hooks == (Hook("tc-ingress", 0), Hook("tc-ingress", 1))

    def test_a_program_that_is_called_runs_where_its_callers_do(self) -> None:
        caller = program(EXIT, 1)
        between = program(EXIT, 2, attached=[], callers=[1, 3])
        called = program(SET, 3, attached=[], callers=[2])
        (use,) = read(document(caller, between, called)).uses
        assert (use.place.object, use.place.device) == ("id 3", "eth0")

    def test_pins_tell_whose_it_is(self) -> None:
        use = one(SET, pin="/sys/fs/bpf/tc/prog", maps=[{"id": 3, "type": "hash", "name": "m", "pin": "/sys/fs/bpf/tc/globals/m"}])
        assert use.statement.endswith("pin /sys/fs/bpf/tc/prog pin /sys/fs/bpf/tc/globals/m")


class TestNothingIsGuessed:
    def test_where_the_mark_is(self) -> None:
        reading = read(document(program(SET), offsets={}))
        assert not reading.uses
        (problem,) = reading.unread
        assert problem.path == "BPF program id 42 (sched_cls prog)"
        assert "that is not guessed" in problem.message

    def test_what_a_program_without_instructions_does(self) -> None:
        (problem,) = read(document(*(program(b"", number) for number in range(9)))).unread
        assert problem.path == "BPF programs id 0 (sched_cls prog), id 1 (sched_cls prog), id 2 (sched_cls prog) and 6 more"
        assert problem.message == "the capture does not hold their instructions"


def opcodes(code: bytes) -> list[dict[str, Any]]:
    """As bpftool -j prog dump xlated … opcodes prints them."""
    rows: list[dict[str, Any]] = []
    at = 0
    while at < len(code):
        op, regs, low, high = code[at], code[at + 1], code[at + 2], code[at + 3]
        wide = 16 if op == 0x18 else 8
        imm = [f"0x{b:02x}" for b in code[at + 4 : at + wide]]
        said = {"code": f"0x{op:02x}", "src_reg": f"0x{regs >> 4:x}", "dst_reg": f"0x{regs & 15:x}"}
        rows.append({"disasm": f"({op:02x}) …", "opcodes": said | {"off": [f"0x{low:02x}", f"0x{high:02x}"], "imm": imm}})
        at += wide
    return rows


SHOW = '[{"id":42,"type":"sched_cls","name":"prog","tag":"ab","bytes_xlated":48,"map_ids":[9]}]'
NET = '[{"xdp":[],"tc":[{"devname":"eth0","ifindex":2,"kind":"clsact/ingress","name":"a.o:[tc]","id":42}],"flow_dissector":[]}]'
TYPES = json.dumps(
    {
        "types": [
            {"id": 1, "kind": "STRUCT", "name": "sk_buff", "members": [{"name": "(anon)", "type_id": 2, "bits_offset": 128}]},
            {"id": 2, "kind": "UNION", "name": "(anon)", "members": [{"name": "mark", "type_id": 9, "bits_offset": MARK * 8 - 128}]},
        ]
    }
)
COMMAND = "# bpftool -j prog dump xlated id 42 opcodes"


class TestBpftool:
    def whole(self, code: bytes = SET, command: str = COMMAND) -> str:
        return f"# bpftool -j prog show\n{SHOW}\n{NET}\n{TYPES}\n{command}\n{json.dumps(opcodes(code))}\n"

    def test_the_same_program(self) -> None:
        (use,) = read(self.whole()).uses
        mine = one(SET)
        assert (use.mask, use.effect, use.place.text) == (mine.mask, mine.effect, mine.place.text.replace(" pref 7", ""))

    def test_a_wide_instruction_is_two_slots(self) -> None:
        code = slot(0x18, 2, 0, 0, 0x12345678) + slot(0) + slot(0x63, 1, 2, MARK) + EXIT
        (use,) = read(self.whole(code)).uses
        assert use.value == 0x12345678

    def test_the_source_line(self) -> None:
        rows = opcodes(SET)
        rows[0] |= {"proto": "int set_the_field(struct __sk_buff * s)", "src": "s->mark = x;"}
        (use,) = read(self.whole().replace(json.dumps(opcodes(SET)), json.dumps(rows))).uses
        assert (use.clause, use.place.program) == ("s->mark = x;", "set_the_field")
        rows[0] |= {"file": "a.c", "line_num": 12, "line_col": 3}
        (use,) = read(self.whole().replace(json.dumps(opcodes(SET)), json.dumps(rows))).uses
        assert use.clause == "a.c:12: s->mark = x;"

    def test_newer_kinds_of_attachment(self) -> None:
        text = self.whole().replace('"clsact/ingress"', '"tcx/egress"').replace('"id":42}]', '"prog_id":42}]')
        (use,) = read(text).uses
        assert (use.place.attach, use.place.direction) == ("tcx", "egress")

    def test_a_program_in_a_cgroup(self) -> None:
        tree = '[{"cgroup":"/sys/fs/cgroup/a","programs":[{"id":42,"attach_type":"cgroup_inet_egress","attach_flags":"","name":"prog"}]}]'
        (use,) = read(self.whole().replace(NET, tree).replace("sched_cls", "cgroup_skb")).uses
        assert (use.place.attach, use.place.direction, use.place.device) == ("cgroup", "egress", "/sys/fs/cgroup/a")

    def test_a_dump_that_does_not_say_of_which_program_it_is(self) -> None:
        (problem,) = read(self.whole(command="# nothing")).problems
        assert "which program these instructions are of is not said" in problem.message
        assert problem.line == 6

    def test_a_dump_without_opcodes(self) -> None:
        text = self.whole().replace(json.dumps(opcodes(SET)), '[{"disasm":"(bf) r6 = r1"}]')
        (problem,) = read(text).problems
        assert "opcodes" in problem.message

    def test_without_the_kernels_types(self) -> None:
        reading = read(self.whole().replace(TYPES, ""))
        assert not reading.uses
        assert reading.unread


KEYS = ["id", "type", "tc", "programs", "attached", "insns", "maps", "types", "members", "disasm", "opcodes", "code", "off", "imm"]
ANYTHING = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inside, max_size=4),
)


class TestHostile:
    @pytest.mark.parametrize("cut", [40, 120, 300])
    def test_cut_short(self, cut: int) -> None:
        text = document(program(SET))
        (problem,) = bpf_xlated.read(Source("a", text[:cut].encode()), "bpf-xlated", Scope()).problems
        assert "truncated" in problem.message

    @pytest.mark.parametrize(
        "text",
        [
            '{"markreg":"bpf","programs":' + "[" * 100_000,
            '{"markreg":"bpf","programs":{"a":1},"offsets":[1]}',
            '{"markreg":"bpf","programs":[1,null,{}],"offsets":{"sk_buff.mark":-1}}',
            document(program(SET[:-3])),
            document(program(SET, insns="zz")),
            document(program(SET, id="x", attached=5, maps={}, lines=[[1]], calls={"x": 1, "9" * 99: "a"}, callers=["a", {}])),
            document(program(SET, callers=[42])),
            document(program(slot(0x05, 0, 0, -1))),
            document(program(slot(0x18))),
            document(program(slot(0x85, 0, 1, -30000))),
            document(program(slot(0x07, 1, 0, 0, 8) + slot(0x61, 0, 2))),
            document(program(SET), offsets={"sk_buff.mark": 10**30}),
            "# bpftool\n" * 50_000 + '[{"disasm":',
            "[" + '{"flow_dissector":[]},' * 3,
        ],
    )
    def test_no_traceback_and_no_hang(self, text: str) -> None:
        started = time.monotonic()
        bpf_xlated.read(Source("a", text.encode()), "bpf-xlated", Scope())
        assert time.monotonic() - started < 5

    @given(st.binary(max_size=200))
    def test_any_instructions(self, code: bytes) -> None:
        read(document(program(code[: len(code) & ~7] + EXIT)))

    @given(ANYTHING)
    def test_any_document(self, value: object) -> None:
        for text in (json.dumps(value), '{"markreg":"bpf","programs":' + json.dumps([value]) + "}"):
            bpf_xlated.read(Source("a", text.encode()), "bpf-xlated", Scope())


@pytest.mark.parametrize(
    ("function", "helper"),
    [
        ("bpf_user_rnd_u32", 7),
        ("__htab_map_lookup_elem", 1),
        ("bpf_sock_addr_setsockopt", 49),
        ("bpf_sk_fullsock", 95),
        ("bpf_skb_fib_lookup", 69),
        ("bpf_tc_sk_lookup_tcp", 84),
        ("bpf_skb_load_bytes", 26),
        ("something_else", None),
    ],
)
def test_helpers_by_the_kernels_names(function: str, helper: int | None) -> None:
    assert number(function) == helper
