"""Instructions as the kernel translated them (kernel/bpf/verifier.c), brought back to what an object file would have said.

The kernel writes a context's fields as its own structures, a map's descriptor as an id, a helper as a distance, a call as a distance
in ``off``, and look-ups in arrays and hashes as code of their own. Where that code is known it becomes the call again.
"""

from __future__ import annotations

from dataclasses import replace

from markreg.bpf.btf import Line
from markreg.bpf.context import MARK, Context, kernel_sk_buff
from markreg.bpf.helpers import MAP_LOOKUP, TAIL_CALL
from markreg.bpf.image import Image, MapInfo, Program, Ref
from markreg.bpf.insn import LDDW, OP_CALL, PSEUDO_CALL, PSEUDO_FUNC, PSEUDO_KFUNC_CALL, PSEUDO_MAP_FD, PSEUDO_MAP_VALUE, Insn, decode
from markreg.formats import _bpf_helpers as helpers
from markreg.formats._bpf_loaded import MARK as MARK_OFFSET
from markreg.formats._bpf_loaded import Capture, Loaded

_SKB = frozenset(("socket_filter", "sched_cls", "sched_act", "cgroup_skb", "lwt_in", "lwt_out", "lwt_xmit", "lwt_seg6local"))
_ADD_R1, _LOAD_KEY, _ADD_R0, _NEXT, _NONE = 0x07, 0x61, 0x0F, 0x05, 0xB7
_NOSPEC, _MOV64 = 0xC2, 0xBF
_LONGEST = 12
# No offset of any structure.
_NOWHERE = 1 << 30
_NOTHING = Insn(_NEXT, 0, 0, 0, 0)
# A helper that is none: its arguments and what it does are not known.
_ANY = -1
_MAP_TYPES = {
    "hash": 1,
    "array": 2,
    "prog_array": 3,
    "perf_event_array": 4,
    "percpu_hash": 5,
    "percpu_array": 6,
    "lru_hash": 9,
    "lpm_trie": 11,
}


def context(kind: str, offsets: dict[str, int]) -> Context | None:
    """What a program of this type is given, as the kernel lays it out; None where that is not known."""
    if kind in _SKB and MARK_OFFSET in offsets:
        skb = kernel_sk_buff(offsets[MARK_OFFSET], offsets.get("sk_buff.cb"))
        return replace(skb, pointers={offsets["sk_buff.sk"]: "sock"}) if "sk_buff.sk" in offsets else skb
    if kind == "cgroup_sock" and "sock.sk_mark" in offsets:
        return Context("sock", ((MARK, offsets["sock.sk_mark"]),), {}, {}, "sock")
    if kind in ("cgroup_sock_addr", "sock_ops", "cgroup_sockopt"):
        at = offsets.get({"cgroup_sock_addr": "bpf_sock_addr_kern.sk", "sock_ops": "bpf_sock_ops_kern.sk"}.get(kind, ""))
        return Context(kind, (), {} if at is None else {at: "sock"}, {}, "ctx")
    return None


def program(loaded: Loaded, capture: Capture, given: Context) -> Program:
    """A loaded program for analysis. Raises BpfError where its code is damaged."""
    code = decode(loaded.code, "big" if capture.order == "big" else "little")
    names = {identity: name or f"map {identity}" for identity, (_, name) in loaded.maps.items()}
    calls: dict[int, int | str] = {}
    refs: dict[int, Ref] = {}
    for pc, insn in enumerate(code):
        if pc and code[pc - 1].op == LDDW and not insn.op:
            continue
        if insn.op == OP_CALL and insn.src == PSEUDO_CALL:
            calls[pc] = pc + 1 + insn.off
            code[pc] = insn._replace(off=0, imm=insn.off)
        elif insn.op == OP_CALL and insn.src == PSEUDO_KFUNC_CALL:
            calls[pc] = loaded.calls.get(pc, "")
        elif insn.op == OP_CALL:
            code[pc] = insn._replace(imm=_helper(insn.imm, loaded.calls.get(pc, "")))
        elif insn.op == LDDW and insn.src in (PSEUDO_MAP_FD, PSEUDO_MAP_VALUE) and pc + 1 < len(code):
            name = names.get(insn.imm, f"map {insn.imm}")
            refs[pc] = Ref("map", name) if insn.src == PSEUDO_MAP_FD else Ref("value", name, code[pc + 1].imm)
            code[pc] = insn._replace(imm=0)  # the id is another one on every node
        elif insn.op == LDDW and insn.src == PSEUDO_FUNC:
            refs[pc] = Ref("func", "", pc + 1 + insn.imm)
        elif insn.op == _NOSPEC:
            code[pc] = _NOTHING
        elif insn.op == _MOV64 and insn.off not in (0, 8, 16, 32):
            code[pc] = insn._replace(off=0)  # an address of this processor, or of an arena
    _looked_up(code, loaded)
    maps = {names[i]: MapInfo(names[i], _MAP_TYPES.get(kind, 0)) for i, (kind, _) in loaded.maps.items()}
    lines = sorted(((slot, Line(file, number, text)) for slot, file, number, text in loaded.lines), key=lambda row: row[0])
    functions = {0: loaded.name, **{slot: name for slot, name in loaded.functions.items() if slot}}
    sock_mark = capture.offsets.get("sock.sk_mark", _NOWHERE)
    image = Image(code, "big" if capture.order == "big" else "little", calls, refs, functions, maps, lines=lines, sock_mark=sock_mark)
    return Program(loaded.functions.get(0) or loaded.name, image, 0, given)


def _helper(distance: int, name: str) -> int:
    if not name:
        return TAIL_CALL if distance == TAIL_CALL else _ANY
    found = helpers.number(name)
    return _ANY if found is None else found


def _looked_up(code: list[Insn], loaded: Loaded) -> None:
    """Look-ups that the kernel wrote out (kernel/bpf/arraymap.c array_map_gen_lookup, hashtab.c htab_map_gen_lookup)."""
    for pc, insn in enumerate(code[:-3]):
        after = code[pc + 1]
        if insn.op == _ADD_R1 and insn.dst == 1 and (after.op, after.dst, after.src, after.off) == (_LOAD_KEY, 0, 2, 0):
            # From adding the offset of the values to the 0 for an index that is too large.
            end = next((at for at in range(pc + 2, min(pc + _LONGEST, len(code))) if code[at][:4] == (_NONE, 0, 0, 0)), None)
            if end is not None and code[end].imm == 0 and code[end - 1] == (_NEXT, 0, 0, 1, 0):
                code[pc] = Insn(OP_CALL, 0, 0, 0, MAP_LOOKUP)
                code[pc + 1 : end + 1] = [_NOTHING] * (end - pc)
        elif insn.op == OP_CALL and loaded.calls.get(pc, "").endswith("_map_lookup_elem") and _is_entry(code, pc):
            # The hash's function gives its own entry, whose value comes behind its key.
            at = next(at for at in range(pc + 1, min(pc + _LONGEST, len(code))) if code[at].op == _ADD_R1 and code[at].dst == 0)
            code[at] = _NOTHING


def _is_entry(code: list[Insn], pc: int) -> bool:
    """Whether a check for 0 and the way from a hash's entry to its value follow a call."""
    follows = code[pc + 1 : pc + _LONGEST]
    return (
        bool(follows)
        and follows[0].op == 0x15
        and follows[0].dst == 0
        and any(i.op == _ADD_R1 and i.dst == 0 for i in follows[: follows[0].off + 1])
    )
