"""Appends to lines of text what the marks in them mean: conntrack, nft monitor trace, kernel logs, ip rule, tcpdump, ss, ovs-ofctl,
and observation domains and points of IPFIX and psample.

Works on bytes and on whole chunks of lines: what holds no mark passes as it is, and a mark that was seen before costs a look-up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from heapq import merge

from markreg.bits import BitsError, format_value_mask, full
from markreg.decode import Decoder, Reading
from markreg.model import CT_LABEL, CT_MARK, SKB_MARK, Field
from markreg.nodemap import Known
from markreg.observation import observed, parse, sentence

_MOST = 3
_LONGEST_MEANING = 40
_MEMORY = 65536
_HEX = rb"0[xX][0-9a-fA-F]{1,32}"
_NUMBER = rb"(?:" + _HEX + rb"|[0-9]{1,39})(?![\w.:])"
# From the word itself on: what stands before it is looked at only where it is found, because the engine is fast at literals.
_WORD = re.compile(
    rb"(?:mark|MARK|labels?)"
    # how it is compared or set: `set`, `match`, `& 0xff ==`, `set meta mark |`
    rb"(?:(=|\(|: ?)|[ \t]+(?:(?:set|xset|match|is)[ \t]+)*(?:(?:meta[ \t]+|ct[ \t]+)?mark[ \t]+)?"
    rb"(?:(?:&|and)[ \t]+(" + _NUMBER + rb")[ \t]+)?(?:(==|!=|!|\||or|\^|xor|<|>|<=|>=)[ \t]+)?)"
    rb"(" + _NUMBER + rb")(?:/(" + _NUMBER + rb"))?"
)
_BEFORE = re.compile(
    rb"(?:^|[^\w-])((?:--(?:set-|set-x|or-|tproxy-|restore-|save-)?)?(?:ct[ _]|meta |conn|CONN|fw|nf|pkt_|skb_|[a-zA-Z_]*)?)$"
)
# An observation as OpenFlow, datapaths and collectors of IPFIX print it, and as the cookie of psample: both as one number.
_OBSERVED = re.compile(
    rb"(?:(?i:obs(?:ervation)?[ _-]?domain(?:[ _-]?id)?)[\"']?[ \t]*[=:][ \t]*(" + _NUMBER + rb")"
    rb"(?:[^\n]{0,200}?(?i:obs(?:ervation)?[ _-]?point(?:[ _-]?id)?)[\"']?[ \t]*[=:][ \t]*(" + _NUMBER + rb"))?"
    rb"|psample\((?:[^()\n]{0,40},)?cookie=(0x[0-9a-fA-F]{9,16})\b)"
)
_OBSERVES = re.compile(rb"(?i:obs(?:ervation)?[ _-]?domain)|psample\(")
_LOOK_BACK = 64
_LONGEST_PREFIX = 14


class Annotator:
    """A filter for one registry and, where there is one, one node."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._notes: dict[tuple[str, int, int], bytes] = {}
        self._memo: dict[tuple[bytes, bool, bytes], bytes] = {}

    def chunk(self, data: bytes) -> bytes:
        """Whole lines with their meanings appended; the last may lack its end."""
        out: list[bytes] = []
        notes: list[bytes] = []
        done, stop = 0, -1
        for match in self._matches(data):
            start = match.start()
            if start > stop:
                if notes:
                    done = self._append(out, data, done, stop, notes)
                notes = []
                stop = data.find(b"\n", match.end())
                stop = len(data) if stop < 0 else stop
            if match.re is _OBSERVED:
                notes.append(self._observed(match))
                continue
            before = data[max(start - _LOOK_BACK, 0) : start]
            before = before[before.rfind(b"\n") + 1 :]
            prefix = _BEFORE.search(before[-_LONGEST_PREFIX:])
            if prefix is None:
                continue
            # An option or a datapath action does not say itself whose mark it is about.
            commit = before.rpartition(b"ct(commit")
            direct = commit[1] and commit[2].count(b"(") == commit[2].count(b")")
            inside = b"CONNMARK" in before or b"connmark" in before or bool(direct)
            key = (prefix[1], inside, match[0])
            note = self._memo.get(key)
            if note is None:
                if len(self._memo) > _MEMORY:
                    self._memo.clear()
                note = self._memo[key] = self._note(prefix[1].lower(), inside, match)
            if note and note not in notes:
                notes.append(note)
        if notes:
            done = self._append(out, data, done, stop, notes)
        if not out:
            return data
        out.append(data[done:])
        return b"".join(out)

    @staticmethod
    def _matches(data: bytes) -> Iterator[re.Match[bytes]]:
        """Everything that may be worth a note, in its order."""
        if _OBSERVES.search(data) is None:
            return _WORD.finditer(data)
        return merge(_WORD.finditer(data), _OBSERVED.finditer(data), key=lambda match: match.start())

    def _observed(self, match: re.Match[bytes]) -> bytes:
        """What an observation domain and point mean."""
        words = [word.decode() if word else None for word in match.groups()]
        try:
            domain, point = parse(words[2] or words[0] or "0", words[1])
        except BitsError:
            return b"unknown (no observation domain and point of 32 bits)"
        node = self._decoder.node
        return sentence(observed(domain, point, self._decoder.registry, node.rows if node else ())).encode("utf-8", "backslashreplace")

    @staticmethod
    def _append(out: list[bytes], data: bytes, done: int, stop: int, notes: list[bytes]) -> int:
        """The line that ends at ``stop`` with its notes; where the rest begins."""
        end = stop - 1 if data[stop - 1 : stop] == b"\r" else stop
        out += (data[done:end], b"  # ", b"; ".join(notes))
        return end

    def _note(self, prefix: bytes, inside: bool, match: re.Match[bytes]) -> bytes:
        """What one mark means; nothing for no mark, and for 0."""
        field = _field(prefix, inside, match)
        if field is None:
            return b""
        everything = full(field.width)
        value = _number(match[4], field)
        mask = everything
        if match[5] is not None:
            mask = _number(match[5], field)
        elif match[2] is not None:
            mask = _number(match[2], field)
        if match[3] in (b"|", b"or", b"^", b"xor") and match[5] is None:
            # `mark & A | B` sets B in what A clears (semantics of nft's listing); alone, only B is said.
            mask = value | (everything & ~mask if match[2] is not None else 0)
        if value > everything or mask > everything or not value & mask:
            return b""
        return self.meaning(field, value & mask, mask)

    def meaning(self, field: Field, value: int, mask: int) -> bytes:
        """The note for a value of a field, short."""
        key = (field.name, value, mask)
        if key not in self._notes:
            self._notes[key] = self._made(field, value, mask).encode("utf-8", "backslashreplace")
        return self._notes[key]

    def _made(self, field: Field, value: int, mask: int) -> str:
        answer = self._decoder.decode(field.name, value, mask)
        if answer.identified and field is CT_LABEL:
            others = value & ~(full(32) << 96)
            more = f" + {self._made(field, others, mask)}" if others else ""
            return f"{' = '.join(answer.identified[:2])}{more}"
        said, left = [], value
        for known in answer.node:
            if (known.value & left and known.mask != full(field.width)) or known.value == value:
                said.append(_known(known, field.width))
                left &= ~known.mask
            if not left:
                return " + ".join(dict.fromkeys(said))
        if said:
            answer = self._decoder.decode(field.name, left, mask & ~(value & ~left))
            here = [r for r in answer.readings if r.present and not r.left][:1]
            rest = " + ".join(_reading(r, field.width) for r in here) or f"unknown ({format_value_mask(left, left, field.width)})"
            return f"{' + '.join(dict.fromkeys(said))} + {rest}"
        readings = list(answer.readings)
        if not readings:
            return f"unknown ({format_value_mask(value, mask, field.width)})"
        best = readings[0]
        alike = [
            r for r in readings if (r.present, r.left.bit_count()) == (best.present, best.left.bit_count()) and r.in_force == best.in_force
        ]
        alike = [r for r in alike if r.says >= min(best.says, 1)]
        texts = list(dict.fromkeys(_reading(r, field.width) for r in alike))
        shown = " or ".join(texts[:_MOST])
        more = f" or {len(texts) - _MOST} more" if len(texts) > _MOST else ""
        unknown = f" + unknown ({format_value_mask(best.left, best.left, field.width)})" if best.left else ""
        return f"{shown}{more}{unknown}"


def _field(prefix: bytes, inside: bool, match: re.Match[bytes]) -> Field | None:
    """Whose mark a word is, by what stands before it and how its number is written; None for a word that is no mark.

    ``inside``: what is around it is about connections' marks.
    """
    word, sign, number = match[0][:4], match[1], match[4]
    hexadecimal = number[:2] in (b"0x", b"0X")
    if match[0].startswith(b"label"):
        known = prefix.endswith((b"ct_", b"ct ")) or (prefix == b"" and (inside or match[0].startswith(b"labels=")))
        return CT_LABEL if known and hexadecimal else None
    if prefix.startswith(b"--"):
        return CT_MARK if inside else SKB_MARK if hexadecimal else None
    if prefix in (b"ct_", b"ct ", b"conn", b"nfct_"):
        return CT_MARK
    if prefix in (b"meta ", b"fw", b"nf", b"nf_", b"pkt_", b"skb_", b"sk_"):
        return SKB_MARK
    if prefix:
        return None
    if sign == b"=":
        # conntrack and dpctl print connections' marks as decimal numbers; whatever prints packets' marks uses hexadecimal ones.
        return (CT_MARK if inside else SKB_MARK) if hexadecimal else CT_MARK if word == b"mark" else None
    return SKB_MARK if hexadecimal else None


def _number(text: bytes, field: Field) -> int:
    return int(text, 16) if text[:2] in (b"0x", b"0X") else int(text)


def _known(known: Known, width: int) -> str:
    return f"{known.name} ({format_value_mask(known.value, known.mask, width)})"


def _reading(reading: Reading, width: int) -> str:
    parts = " + ".join(f"{p.path} {_short(p.meaning)}({format_value_mask(p.value, p.mask, width)})" for p in reading.parts)
    needs = dict.fromkeys(p.settings for p in reading.parts if not p.in_force and p.settings)
    return f"{parts} if {', '.join(needs)}" if needs else parts


def _short(meaning: str) -> str:
    return "" if not meaning or meaning.startswith("number ") or len(meaning) > _LONGEST_MEANING else f'"{meaning}" '


def lines(annotator: Annotator, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """A stream as it arrives, cut at any place: whole lines at once, a line without end when there is no more."""
    rest: list[bytes] = []
    for data in chunks:
        cut = data.rfind(b"\n") + 1
        if cut:
            yield annotator.chunk(b"".join((*rest, data[:cut])))
            rest = []
        if cut < len(data):
            rest.append(data[cut:])
    if rest:
        yield annotator.chunk(b"".join(rest))
