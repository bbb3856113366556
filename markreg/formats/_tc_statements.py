"""Filters, queues and actions of tc as statements in one spelling, whether they came as text or as JSON."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field

INGRESS, EGRESS = "ingress", "egress"
_DIRECTION = re.compile(r"(?<![a-z])(ingress|egress)(?![a-z])")
_CHAIN_STEP = 1 << 16
_COMMAND = re.compile(r"(?:^|[ \t#$>%])tc[ \t](?=[^\n]*?(?:show|list|ls|qdisc|filter))")
_COMMAND_DEV = re.compile(r"\bdev[ \t]+(\S+)")
_COMMAND_PARENT = re.compile(r"\bparent[ \t]+(\S+)")
_FIELDS = re.compile(r"(dev|block|parent|protocol|pref|chain)[ \t]+(\S+)[ \t]*|(root|ingress|egress|clsact)\b[ \t]*")
_ADDED = re.compile(r"(?:added |replaced )?(filter|qdisc)[ \t]+")


@dataclass(slots=True)
class Where:
    """What a command said that the lines below it do not repeat."""

    dev: str = ""
    direction: str = ""

    @staticmethod
    def of_name(name: str) -> Where:
        """A capture's direction by its file name."""
        match = _DIRECTION.search(name.rpartition("/")[2])
        return Where("", match[1] if match else "")

    @staticmethod
    def of_command(line: str) -> Where | None:
        """What ``tc filter show dev eth0 ingress`` says, None for no such command."""
        if not (command := _COMMAND.search(line)):
            return None
        rest = line[command.end() :]
        dev, said, parent = _COMMAND_DEV.search(rest), _DIRECTION.search(rest), _COMMAND_PARENT.search(rest)
        direction = said[1] if said else _of_parent(parent[1]) if parent else ""
        return Where(dev[1] if dev else "", direction)


def _of_parent(parent: str) -> str:
    """The qdiscs of what comes in are ``ffff:`` (and clsact's ``ffff:fff2``); classes hang below those of what goes out."""
    return INGRESS if parent.startswith("ffff:") and parent != "ffff:fff3" else EGRESS


@dataclass(slots=True)
class Holder:
    """A filter, a queue, or a listing of actions (``what`` is ``action``): where it is attached and what it is."""

    what: str
    line: int
    kind: str = ""
    dev: str = ""
    block: str = ""
    attach: str = ""
    direction: str = ""
    protocol: str = ""
    pref: str = ""
    chain: str = "0"
    start: int = 0

    @staticmethod
    def of_header(text: str, line: int, where: Where) -> tuple[Holder, str] | None:
        """The holder that a header line begins, and the rest of the line; None for another line."""
        if not (head := _ADDED.match(text)):
            return None
        holder, at = Holder(head[1], line, dev=where.dev, direction=where.direction), head.end()
        if holder.what == "qdisc":
            holder.kind, _, rest = text[at:].partition(" ")
            at = len(text) - len(rest)
            handle = re.match(r"[0-9a-f]+:[ \t]+(?:\[\w+\][ \t]+)?", rest)
            at += handle.end() if handle else 0
        while match := _FIELDS.match(text, at):
            holder.set(match[1] or "attach", match[2] or match[3])
            at = match.end()
        if holder.what == "filter":
            kind = re.compile(r"(?:handle[ \t]+\S+[ \t]+(?=fw\b))?(\S+)[ \t]*").match(text, at)
            holder.kind = kind[1] if kind else ""
            before = text[at : kind.start(1)] if kind else ""
            at = at if before else kind.end() if kind else at
            if chain := re.compile(r"chain (\d{1,10})\b").search(text, at):
                holder.chain = chain[1]
        return holder, text[at:]

    def set(self, key: str, value: str) -> None:
        """Takes one word of the header."""
        match key:
            case "attach" | "root" | "ingress" | "egress":
                self.attach = value
                self.direction = value if value in (INGRESS, EGRESS) else INGRESS if value == "clsact" else EGRESS
            case "parent":
                self.attach, self.direction = f"parent {value}", _of_parent(value)
            case "dev" | "block" | "protocol" | "pref" | "chain":
                setattr(self, key, value)

    def hooks(self) -> tuple[str, ...]:
        """Where packets meet it; both ways where nothing says which."""
        return tuple(f"tc-{d}" for d in ((self.direction,) if self.direction else (INGRESS, EGRESS)))

    def priority(self) -> int:
        """Order on one hook: filters by preference; a higher chain is gone to from a lower one; a queue comes after them."""
        if self.what == "qdisc":
            return 1 << 40
        pref, chain = (int(t) if t.isascii() and t.isdigit() and len(t) < 11 else 0 for t in (self.pref, self.chain))
        return chain * _CHAIN_STEP + pref

    def text(self) -> str:
        """What reports print."""
        device = f"block {self.block}" if self.block else f"dev {self.dev}" if self.dev else ""
        chain = f"chain {self.chain}" if self.chain not in ("", "0") else ""
        pref = f"pref {self.pref}" if self.pref else ""
        words = ("tc", self.what, device, self.attach or self.direction, pref, chain, self.kind)
        return " ".join(filter(None, words))

    def device(self) -> str:
        """The device or block as a signature reads it."""
        return f"dev {self.dev}" if self.dev else ""

    def family(self) -> str:
        """The address family of the packets that a filter sees."""
        return {"ip": "ip", "ipv6": "ip6"}.get(self.protocol, "inet")

    def key(self) -> tuple[str, ...]:
        """What the filters of one classifier have in common."""
        return (self.dev, self.block, self.attach, self.direction, self.protocol, self.pref, self.chain)


@dataclass(slots=True)
class Statement:
    """One classifier's or action's words, in parts: where each begins in ``text``, its line, and its clause where the text is not it.

    ``holder``: what it belongs to. ``idle``: an action that nothing refers to. ``origin``: where a JSON object began that may
    give several.
    """

    kind: str
    holder: Holder
    text: str = ""
    starts: list[int] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    verbatim: list[str] = field(default_factory=list)
    idle: bool = False
    origin: int = 0

    def add(self, text: str, line: int, verbatim: str = "") -> None:
        """Another part."""
        if self.text:
            self.text += "\n"
        self.starts.append(len(self.text))
        self.lines.append(line)
        self.verbatim.append(verbatim)
        self.text += text

    def place(self, start: int, end: int) -> tuple[int, str]:
        """Line and clause of a part of the text."""
        number = max(bisect_right(self.starts, start) - 1, 0)
        end = min(end, self.starts[number + 1] - 1) if number + 1 < len(self.starts) else end
        return self.lines[number], self.verbatim[number] or self.text[start:end].strip()
