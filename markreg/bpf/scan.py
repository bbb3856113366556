"""Functions looked at once without running them: where their blocks begin, what they call, and what they refer to."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

from markreg.bpf import helpers
from markreg.bpf.image import Image
from markreg.bpf.insn import JMP, JMP32, LDDW, OP_CALL, OP_CALLX, OP_EXIT, OP_JA, OP_JA32

# Marks of kernel structures, as CO-RE records name them, and the kind of record that is an access (BPF_CORE_FIELD_BYTE_OFFSET).
ACCESSES = ("sk_buff.mark", "nf_conn.mark", "sock.sk_mark")
_BYTE_OFFSET = 0
# Instructions looked at, of functions that overlap.
_LEAST, _TIMES = 100_000, 20


@dataclass(slots=True)
class Function:
    """One function. ``leaders``: where its blocks begin, with their place in an order in which a block comes behind all from which it
    is reached, but for loops; ``callees``: entries of functions that it calls or gives away the address of.

    ``size``: instructions. ``concerned``: whether a call in it may have to do with marks. ``accesses``: CO-RE accesses to marks.
    """

    leaders: dict[int, int] = field(default_factory=dict)
    callees: set[int] = field(default_factory=set)
    maps: dict[str, None] = field(default_factory=dict)
    accesses: list[tuple[str, int]] = field(default_factory=list)
    concerned: bool = False
    size: int = 0
    # Not looked at: the functions of the object are, each by itself, far larger than its code.
    skipped: bool = False


class Scan:
    """The functions of an image, each looked at when it is asked for."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self._functions: dict[int, Function] = {}
        self._left = _LEAST + _TIMES * len(image.code)

    def function(self, entry: int) -> Function:
        """The function that begins at ``entry``."""
        if entry not in self._functions:
            self._functions[entry] = self._look(entry)
        return self._functions[entry]

    def reached(self, entry: int) -> list[Function]:
        """A function and all that it may call."""
        if self._left <= 0:
            return [Function(skipped=True)]
        seen: dict[int, Function] = {}
        pending = [entry]
        while pending:
            at = pending.pop()
            if at not in seen:
                seen[at] = self.function(at)
                pending += seen[at].callees
        self._left -= len(seen)
        return [seen[at] for at in sorted(seen)]

    def _look(self, entry: int) -> Function:
        found = Function(skipped=self._left <= 0)
        if found.skipped:
            return found
        leaders = {entry}
        ways: dict[int, tuple[int, ...]] = {}
        seen: set[int] = set()
        pending = [entry]
        image = self._image
        code, size = image.code, len(image.code)
        while pending:
            pc = pending.pop()
            while 0 <= pc < size and pc not in seen:
                seen.add(pc)
                op, _, src, off, imm = code[pc]
                kind = op & 7
                if op == OP_CALL:
                    self._call(found, pc, src, imm)
                elif op == LDDW:
                    self._wide(found, pc)
                    pc += 1
                elif op == OP_EXIT:
                    ways[pc] = ()
                    break
                elif kind in (JMP, JMP32) and op != OP_CALLX:
                    there = pc + 1 + (imm if op == OP_JA32 else off)
                    leaders.add(there)
                    pending.append(there)
                    if op in (OP_JA, OP_JA32):
                        ways[pc] = (there,)
                        break
                    leaders.add(pc + 1)
                    ways[pc] = (there, pc + 1)
                pc += 1
        for pc in sorted(seen & image.accesses.keys()):
            access = image.accesses[pc]
            if access.kind == _BYTE_OFFSET and access.path in ACCESSES:
                found.accesses.append((access.path, pc))
        found.size = len(seen)
        self._left -= found.size
        found.leaders = _order(entry, leaders, ways)
        return found

    def _call(self, found: Function, pc: int, src: int, number: int) -> None:
        target = self._image.calls.get(pc)
        if isinstance(target, int):
            found.callees.add(target)
        elif isinstance(target, str):
            found.concerned = found.concerned or helpers.of_connection(target)
        elif not src and number in helpers.INTERESTING:
            found.concerned = True

    def _wide(self, found: Function, pc: int) -> None:
        ref = self._image.refs.get(pc)
        if ref and ref.kind == "func":
            found.callees.add(ref.offset)
        elif ref and ref.kind in ("map", "value"):
            found.maps[ref.name] = None


def _order(entry: int, leaders: set[int], ways: dict[int, tuple[int, ...]]) -> dict[int, int]:
    """The blocks in reverse postorder of a walk from the entry."""
    starts, ends = sorted(leaders), sorted(ways)
    after: dict[int, tuple[int, ...]] = {}
    for i, start in enumerate(starts):
        # A block ends with the first jump in it, or where the next block begins.
        following = starts[i + 1] if i + 1 < len(starts) else None
        at = bisect_left(ends, start)
        if at < len(ends) and (following is None or ends[at] < following):
            after[start] = ways[ends[at]]
        else:
            after[start] = () if following is None else (following,)
    done: list[int] = []
    seen = {entry}
    path = [(entry, iter(after.get(entry, ())))]
    while path:
        block, rest = path[-1]
        for following in rest:
            if following not in seen:
                seen.add(following)
                path.append((following, iter(after.get(following, ()))))
                break
        else:
            done.append(block)
            path.pop()
    return {block: place for place, block in enumerate(reversed(done))}
