"""What ``tc -j`` prints, as statements. Read as a stream of keys and values, because it is often no JSON.

iproute2 before 6.8 prints the options of fw and flow, and every version the tree of a basic filter, as bare text inside the objects;
a u32 filter with a match leaves brackets open.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from markreg.formats._tc_statements import Holder, Statement, Where

_TOKEN = re.compile(
    r'"((?:[^"\\\n]|\\.)*+)"[ \t]*(:)?|(-?[0-9]++|true\b|false\b|null\b)|[{}\[\],]|((?:handle |meta\(|AND |OR |NOT |[a-z]+\()[^\n{}"]*)'
)
_HEADER = frozenset({"parent", "ingress", "egress", "root", "dev", "block", "protocol", "pref"})
# What looks like a mark's key and is a counter, or says nothing that other keys do not.
_COUNTERS = frozenset({"fwmark_success", "cpmarkset"})
_HEX = re.compile(r"[0-9a-fA-F]+")
# For each kind the keys that have a meaning: key, key of its mask, how it is said in words.
_SAID: dict[str, tuple[tuple[str, str, str], ...]] = {
    "fw": (("mark", "mask", "handle {0}/{1}"), ("raw", "", "{0}")),
    "u32": (("fwmark_value", "fwmark_mask", "mark {0} {1}"),),
    "flower": (("ct_zone", "", "ct_zone {0}"), ("ct_mark", "ct_mark_mask", "ct_mark {0}/{1}"), ("ct_label", "", "ct_label {0}")),
    "flow": (("keys", "", "keys {0}"), ("and", "", "and {0}"), ("rshift", "", "rshift {0}"), ("raw", "", "{0}")),
    "cake": (("fwmark", "", "fwmark {0}"),),
    "skbedit": (("mark", "mask", "mark {0}/{1}"),),
    "connmark": (("zone", "", "zone {0}"),),
    "ctinfo": (("zone", "", "zone {0}"), ("cpmark", "", "cpmark {0}"), ("dscpmask", "dscpstatemask", "dscp {0} {1}")),
    "ct": (("action", "", "{0}"), ("zone", "", "zone {0}"), ("mark", "mark_mask", "mark {0}/{1}"), ("label", "", "label {0}")),
    "ife": (("mode", "", "{0}"), ("mark", "", "use mark {0}")),
}


class _Object:
    """A filter, queue or action while its keys arrive: value, and where key and value stand."""

    def __init__(self, holder: Holder, kind: str, start: int) -> None:
        self.holder = holder
        self.kind = kind
        self.start = start
        self.bind = ""
        self.said: dict[str, tuple[str, int, int]] = {}
        self.trees: list[tuple[str, int, int]] = []
        self.other: list[tuple[str, int, int]] = []

    def take(self, key: str, value: str, start: int, end: int) -> None:
        """One key with its value, or bare text (key ``raw``)."""
        known = [k for said in _SAID.get(self.kind, ()) for k in said[:2]]
        if key == "bind":
            self.bind = value
        elif key == "raw" and "raw" not in known:
            self.trees.append((value, start, end))
        elif key == "keys" and key in self.said:
            self.said[key] = (f"{self.said[key][0]},{value}", self.said[key][1], end)
        elif key in known:
            self.said.setdefault(key, (value, start, end))
        elif "mark" in key and key not in _COUNTERS:
            self.other.append((key, start, end))


class Stream:
    """Turns the text into statements: those with marks, and how many there are at all. ``odd``: places of marks without meaning."""

    def __init__(self, text: str, where: Where) -> None:
        self.text = text
        self.where = where
        self.count = 0
        self.holders: list[Holder] = []
        self.odd: list[tuple[int, str]] = []
        self._line = 1
        self._counted = 0
        self._seen: set[tuple[int, str]] = set()

    def statements(self) -> Iterator[Statement]:
        """Every statement in its order."""
        listing = Holder("action", 1, dev=self.where.dev, direction=self.where.direction)
        holder, current = listing, None
        header: dict[str, str] = {}
        key, key_start, array, start, fresh, action, options = "", 0, "", 0, True, False, False
        for token in _TOKEN.finditer(self.text):
            string, colon, scalar, raw = token.groups()
            if colon:
                key, key_start, array = string, token.start(), string
                options = options or key == "options"
                continue
            value = scalar if scalar is not None else string
            if value is None and not raw:
                if token[0] == "{" and not key:
                    header, start, fresh, action, options = {}, token.start(), True, False, False
                array = "" if token[0] == "]" else array
                key = ""
                continue
            name, at = (key, key_start) if key else (array, token.start())
            key = ""
            if raw:
                if current:
                    current.take("raw", raw.strip(), token.start(), token.end())
            elif fresh and name == "order":
                action = True
            elif fresh and name == "kind":
                if current:
                    yield from self._said(current)
                holder = holder if action else self._holder(header, value, start)
                current, fresh = _Object(holder, value, at), False
                self.count += 1
            elif fresh and name in _HEADER:
                header[name] = name if value == "true" else value
            elif fresh and name == "total acts":
                holder = listing
            elif current and holder.what == "qdisc" and name in _HEADER and not options:
                holder.set(name, name if value == "true" else value)
            elif current and name == "chain" and not action:
                holder.chain = value
            elif current:
                current.take(name, value, at, token.end())
        if current:
            yield from self._said(current)

    def _holder(self, header: dict[str, str], kind: str, start: int) -> Holder:
        """A new filter; a queue where no preference was said, whose place comes after its kind."""
        what = "filter" if "pref" in header else "qdisc"
        holder = Holder(what, self._at(start), kind, self.where.dev, direction=self.where.direction, start=start)
        for name, value in header.items():
            holder.set(name, value)
        self.holders.append(holder)
        return holder

    def _said(self, found: _Object) -> Iterator[Statement]:
        for value, start, _ in found.trees:
            if "mark" in value:
                yield self._statement(found, "ematch", [(value, start, start + len(value))])
        parts: list[tuple[str, int, int]] = []
        for key, mask_key, words in _SAID.get(found.kind, ()):
            if key not in found.said:
                continue
            value, start, end = found.said[key]
            if found.kind == "ife" and key == "mark" and value == "allow":
                words = "allow mark"
            mask, mask_end = "0xffffffff", end
            if mask_key in found.said:
                mask, _, mask_end = found.said[mask_key]
                mask = _mask(mask)
            plain = f"0x{value}" if found.kind == "fw" and key == "mark" and _HEX.fullmatch(value) else value
            parts.append((words.format(plain, mask), start, mask_end if 0 <= mask_end - end < 60 else end))
        if parts or found.kind == "connmark":
            yield self._statement(found, found.kind, parts)
        self.odd += [(self._at(start), key) for key, start, _ in found.other]

    def _statement(self, found: _Object, kind: str, parts: list[tuple[str, int, int]]) -> Statement:
        made = Statement(kind, found.holder, idle=found.bind == "0" and found.holder.what == "action", origin=found.start)
        for words, start, end in sorted(parts, key=lambda part: part[1]):
            made.add(words, self._at(start), self._clause(start, end, found.holder.start))
        if not parts:
            made.add("", self._at(found.start), self._clause(found.start, self._value_end(found.start), found.holder.start))
        return made

    def _value_end(self, start: int) -> int:
        match = re.compile(r'"[^"\n]*"\s*:\s*"[^"\n]*"').match(self.text, start)
        return match.end() if match else start

    def _clause(self, start: int, end: int, holder: int) -> str:
        """The text as it stands, or what of it is on its first line; with what precedes it where its line has the same text twice."""
        clause = self.text[start:end].split("\n")[0].rstrip(" ,")
        at = (self._at(start), clause)
        if at in self._seen and self.text.rfind("\n", 0, start) < holder:
            return self.text[holder : start + len(clause)]
        self._seen.add(at)
        return clause

    def _at(self, offset: int) -> int:
        """The line of an offset."""
        if offset < self._counted:
            return self._line - self.text.count("\n", offset, self._counted)
        self._line += self.text.count("\n", self._counted, offset)
        self._counted = offset
        return self._line


def _mask(text: str) -> str:
    """Masks are hexadecimal with or without 0x in a string (print_hex, print_0xhex); iproute2 5 printed numbers."""
    return text if text.startswith("0x") or not _HEX.fullmatch(text) else f"0x{text}"
