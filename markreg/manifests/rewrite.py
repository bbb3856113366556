"""Commands rewritten to the notations that list what they do, so that one grammar reads both; and values that are left open.

A value that a variable or a template fills in stands as all ones of its mask while it is parsed; afterwards these bits may be
anything. Without a mask, what is written or examined may be any bit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from markreg.bits import BitsError, full, parse_word
from markreg.manifests.shell import Command, is_open
from markreg.model import Use
from markreg.transfer import Word

_ALL = full(32)
_MARKS = {
    "--mark", "--set-mark", "--set-xmark", "--and-mark", "--or-mark", "--xor-mark", "--nfmask", "--ctmask", "--mask", "--tproxy-mark",
    "--on-ip-mark", "fwmark", "mark",
}  # fmt: skip
_EXPANSION = re.compile(r"\$\{[^}]{0,200}\}|\$\([^)]{0,200}\)|\$\w+|`[^`]{0,200}`|\ue000+|\{\{.{0,200}?\}\}")
_VERBS = {"-A": "-A", "--append": "-A", "-I": "-I", "--insert": "-I", "-R": "-A", "--replace": "-A", "-N": "-N", "--new-chain": "-N"}
# Commands that add nothing.
_GONE = re.compile(r"-[DCFXZLSEVh]|--(?:delete|check|flush|delete-chain|zero|list|list-rules|rename-chain|version|help)")
_SILENT = re.compile(
    r"-w\d*|--wait(?:=.*)?|-W\d*|--wait-interval(?:=.*)?|-v+|--verbose|-n|--numeric|-4|-6|--ipv[46]|-x|--exact|--line-numbers"
)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a rewritten command: its text, the number of the source line it stands for, and the values left open in it.

    ``opened``: the words that stand for them, with the bits that they may set; None: any bit.
    """

    text: str
    number: int
    opened: tuple[tuple[str, int | None], ...] = ()


@dataclass(slots=True)
class Rules:
    """Rules for one table, in order."""

    declared: list[str] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)


def mark_line(command: Command) -> int:
    """The line of the first word about a mark, else of the first word."""
    return next(
        (n for w, n in zip(command.words, command.lines, strict=True) if "mark" in w.lower()), command.lines[0] if command.lines else 0
    )


def closed(words: Sequence[str]) -> tuple[list[str], tuple[tuple[str, int | None], ...]]:
    """Words with stand-ins for what is open, and which of them are values of marks."""
    made: list[str] = []
    opened: list[tuple[str, int | None]] = []
    for number, word in enumerate(words):
        if not is_open(word):
            made.append(word)
            continue
        before = words[number - 1] if number else ""
        name, equals, value = word.partition("=")
        if equals and name in _MARKS:
            made.append(name)
            before, word = name, value
        if before in _MARKS or (before == "set" and number > 1 and "mark" in words[number - 2]):
            _, slash, mask = word.partition("/")
            bits = _number(mask) if slash else None
            stand_in = f"{bits:#x}/{bits:#x}" if bits is not None else f"{_ALL:#x}"
            opened.append((stand_in, bits))
            made.append(stand_in)
        else:
            made.append(_EXPANSION.sub("x", word))
    return made, tuple(opened)


def _number(text: str) -> int | None:
    try:
        return parse_word(text, 32) if text and not is_open(text) else None
    except BitsError:
        return None


def iptables(command: Command, at: int) -> tuple[str, Line] | None:
    """The table and the rule of an iptables command as iptables-save prints it; None if it adds nothing. Raises ValueError."""
    table, verb, chain = "filter", "", ""
    rest: list[str] = []
    words = command.words[at + 1 :]
    number = 0
    while number < len(words):
        word = words[number]
        name, equals, value = word.partition("=")
        number += 1
        if word in ("-t", "--table") and number < len(words):
            table = words[number]
            number += 1
        elif name == "--table" and equals:
            table = value
        elif _GONE.fullmatch(word) or word in ("-P", "--policy"):
            return None
        elif word in _VERBS and not verb and number < len(words):
            verb, chain = _VERBS[word], words[number]
            number += 1
            if verb == "-I" or word in ("-R", "--replace"):
                number += number < len(words) and words[number].isdigit()
        elif _SILENT.fullmatch(word):
            number += word in ("-w", "-W", "--wait", "--wait-interval") and number < len(words) and words[number].isdigit()
        else:
            # --option=value, as getopt_long takes it
            rest += [name, value] if equals and name.startswith("--") and name[2:3].isalpha() else [word]
    if not verb or is_open(table):
        raise ValueError("which table and chain it is for is left open" if is_open(table) else "it names no chain")
    made, opened = closed(rest)
    chain = _EXPANSION.sub("x", chain)
    return table, Line(" ".join([verb, chain, *(_quoted(w) for w in made)]), mark_line(command), opened)


def _quoted(word: str) -> str:
    if word and not re.search(r"[\s\"']", word):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") + '"'


def ip_rule(command: Command, at: int) -> Line | None:
    """``ip rule add …`` as ``ip rule`` lists it; None for other verbs."""
    words = [w for w in command.words[at + 1 :] if not re.fullmatch(r"-(?:4|6|f|family|n|netns|br|\w)|inet6?", w)]
    if len(words) < 2 or words[0] not in ("rule", "ru") or words[1] not in ("add", "a", "replace", "append"):
        return None
    made, opened = closed(words[2:])
    negated, source, priority, table, rest = "", "all", "32765", "", []
    number = 0
    while number < len(made):
        word, value = made[number], made[number + 1] if number + 1 < len(made) else ""
        number += 2
        if word == "not":
            negated, number = "not ", number - 1
        elif word == "from":
            source = value
        elif word in ("pref", "priority", "prio", "order", "preference"):
            priority = value if value.isdigit() else priority
        elif word in ("table", "lookup"):
            table = f"lookup {value}"
        elif word in ("blackhole", "unreachable", "prohibit", "nop"):
            table, number = word, number - 1
        elif word == "type":
            table = value
        elif word in ("protocol", "proto"):
            continue
        else:
            rest += [word, value]
    text = f"{priority}:\t{negated}from {source} {' '.join(rest)} {table or 'lookup main'}"
    return Line(re.sub(r" +", " ", text), mark_line(command), opened)


def family_of(command: Command, at: int) -> str:
    """``ip6`` where an ip command says ``-6``, else ``ip``."""
    words = command.words[at + 1 : at + 4]
    return "ip6" if "-6" in words or "inet6" in words else "ip"


def nft(command: Command, at: int) -> Iterator[Line]:
    """The lines that an nft command runs: its own words, or what is given to ``-f -``."""
    words = [w for w in command.words[at + 1 :] if w not in ("-a", "-e", "-n", "-s", "-j", "-i", "-c", "--check", "--echo", "--handle")]
    if words[:1] in (["-f"], ["--file"]) or not words:
        for number, text in command.given:
            yield opened_line(text, number)
        return
    made, opened = closed(" ".join(words).split(" "))
    if made and made[0] in ("add", "insert", "create", "replace", "table", "define"):
        yield Line(" ".join(made), mark_line(command), opened)


def opened_line(text: str, number: int) -> Line:
    """A line of a file of rules, with stand-ins for what is open in it."""
    if not is_open(text):
        return Line(text, number)
    made, opened = closed(text.split(" "))
    return Line(" ".join(made), number, opened)


def tc(command: Command, at: int) -> list[Line]:
    """``tc filter add …`` as ``tc filter show`` prints it: the filter, and a line for each action."""
    words = command.words[at + 1 :]
    if words[:1] != ["filter"] or len(words) < 3 or words[1] not in ("add", "replace", "change"):
        return []
    made, opened = closed(words[2:])
    head: dict[str, str] = {"protocol": "all", "pref": "1"}
    where = kind = ""
    number = 0
    while number < len(made) and made[number] not in ("action", "flowid", "classid"):
        word, value = made[number], made[number + 1] if number + 1 < len(made) else ""
        if word in ("dev", "block", "parent"):
            where += f"{word} {value} "
        elif word in ("ingress", "egress", "root"):
            where, number = f"{where}{word} ", number - 1
        elif word in ("prio", "pref", "protocol"):
            head["protocol" if word == "protocol" else "pref"] = value
        elif word == "handle":
            head["handle"] = value
        elif not kind:
            kind, number = word, number - 1
        else:
            break
        number += 2
    rest = made[number:]
    line = mark_line(command)
    tail = rest[: rest.index("action") if "action" in rest else None]
    handle = f"handle {head['handle']} " if "handle" in head else ""
    lines = [
        Line(
            f"filter {where}protocol {head['protocol']} pref {head['pref']} {kind} chain 0 {handle}{' '.join(tail)}".rstrip(), line, opened
        )
    ]
    actions = " ".join(rest).split("action ")[1:]
    lines += [Line(f"\taction order {n}: {' '.join(a.split())}", line, opened) for n, a in enumerate(actions, 1)]
    return lines


def reopened(use: Use, opened: tuple[tuple[str, int | None], ...]) -> Use:
    """A use with the values left open that its clause has stand-ins for."""
    mine = [bits for stand_in, bits in opened if stand_in in use.clause]
    if not mine:
        return use
    mask = 0
    for bits in mine:
        mask |= _ALL if bits is None else bits
    loose = any(bits is None for bits in mine)
    if use.effect is None:
        return replace(use, predicate=None, mask=use.mask & mask if mask else use.mask, possible=loose, open=True)
    effect = use.effect
    kept = Word.entry(use.field, effect.width)
    unknown = Word(
        effect.width,
        effect.zero & ~mask,
        effect.one & ~mask,
        tuple((s, m & ~mask) for s, m in effect.copies if m & ~mask),
        effect.other | mask,
    )
    return replace(use, effect=unknown | kept if loose else unknown, mask=use.mask | mask, possible=loose, open=True)
