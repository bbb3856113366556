"""Commands about marks in manifests, scripts and units, each read by the notation that lists what it does."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from markreg.manifests import nodes, rewrite
from markreg.manifests.documents import Document, placed
from markreg.manifests.rewrite import Line
from markreg.manifests.shell import Command, program
from markreg.manifests.shell import commands as split_commands
from markreg.model import CT_MARK, HOST, Opaque, Place, Reading, Rule, Scope, Table, Use
from markreg.source import Source
from markreg.transfer import masked_set

if TYPE_CHECKING:
    from yaml.nodes import Node, ScalarNode

_IPTABLES = {f"{p}{b}" for p in ("iptables", "ip6tables") for b in ("", "-legacy", "-nft")}
_RESTORE = {f"{p}{b}-restore" for p in ("iptables", "ip6tables") for b in ("", "-legacy", "-nft")}
_KNOWN = frozenset({*_IPTABLES, *_RESTORE, "nft", "ip", "tc", "ovs-ofctl", "conntrack", "sysctl", "wg"})
# Words that run the command after them.
_BEFORE = frozenset({
    "sudo", "exec", "env", "nsenter", "chroot", "nice", "timeout", "time", "if", "elif", "while", "until", "then", "do",
    "else", "!", "eval", "command", "busybox", "run", "doas", "gosu", "su-exec", "nohup", "setsid", "unshare", "flock",
    "xargs", "ssh", "docker", "podman", "nerdctl", "crictl", "kubectl", "oc", "ip", "-", "&&", "||", "{", "RUN",
})  # fmt: skip
# What a source holds in which a command about a mark can stand: one of each.
_MARKS = (b"mark", b"MARK", b"ct_label", b"connlabel")
_PROGRAMS = (
    b"tables",
    b"TABLES",
    b"IPT",
    b"NFT",
    b"-mark",
    b"-xmark",
    b"MARK",
    b"nft",
    b"fwmark",
    b"skbedit",
    b"ctinfo",
    b"tc ",
    b"ovs-ofctl",
    b"conntrack",
)
_MENTION = re.compile(r"(?i)mark(?!eting|down|et)|ct_label|connlabel")
# What only says or passes on the words after it.
_SAYS = frozenset({"echo", "printf", "logger", "log", "die", "warn", "info", "grep", "sed", "awk", "test", "["})
_ADDS = frozenset({"-A", "-I", "--append", "--insert"})
_RULE = re.compile(r"(?:-j|--jump|-m|--match)\s(?:conn)?mark(?:\s|$)", re.IGNORECASE)
_SHELL_TEXT = re.compile(r"-[a-z]*c")
# A text that begins like one of these is a file of rules, if its notation says so too.
_BEGINS = re.compile(r"(\*(?:raw|mangle|nat|filter|security)\s)|(?:#!\S*nft|table|flush|define|add|insert|create|include)\s")
_SHELLS = ("sh", "bash", "dash", "ash", "ksh", "zsh")
_CHAINS = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
Number = Callable[[int], int]


@dataclass(slots=True)
class _Work:
    """The rewritten commands of one source, by what reads them."""

    source: Source
    scope: Scope
    tables: dict[tuple[str, str], dict[str, list[Line]]] = field(default_factory=dict)
    listed: dict[tuple[str, str, str], list[Line]] = field(default_factory=dict)
    files: list[tuple[str, list[Line]]] = field(default_factory=list)
    uses: list[Use] = field(default_factory=list)
    opaque: dict[str, list[int]] = field(default_factory=dict)
    statements: int = 0
    marks: int = 0


def worth(source: Source) -> bool:
    """Whether a source can hold a command about a mark: a cheap look at its bytes."""
    return any(word in source.data for word in _MARKS) and any(word in source.data for word in _PROGRAMS)


def of_text(source: Source, scope: Scope) -> Reading:
    """What the commands of a script do."""
    work = _Work(source, scope)
    if worth(source):
        _text(work, source.text(), lambda n: n + 1)
    return _reading(work)


def commands(source: Source, documents: Sequence[Document], scope: Scope) -> Reading:
    """What the commands in documents do: in every text and in every list of words, wherever it stands."""
    work = _Work(source, scope)
    if worth(source):
        for document in documents:
            if document.root is not None:
                _walk(work, document)
    return _reading(work)


def _walk(work: _Work, document: Document) -> None:
    """Every node of a document once. What is embedded in it as a document of its own is walked there."""
    seen: set[int] = set()
    stack: list[Node] = [document.root] if document.root is not None else []
    while stack:
        here = stack.pop()
        shape = nodes.shape(here)
        if shape == "scalar":
            _scalar(work, document, here)  # type: ignore[arg-type]
            continue
        if id(here) in seen:
            continue
        seen.add(id(here))
        if shape == "sequence":
            children = nodes.items(here)
            words = [nodes.text(c) for c in children]
            if children and all(nodes.shape(c) == "scalar" for c in children) and program(words, _KNOWN, _BEFORE)[0] >= 0:
                lines = [document.spot(c).line for c in children]
                _command(work, Command(words, lines), lambda n: n)
            else:
                stack += reversed(children)
        else:
            children = [value for _, value in here.value]
            argv = _argv(here) if any(key.value == "command" for key, _ in here.value) else []
            if argv and program([t for t, _ in argv], _KNOWN, _BEFORE)[0] >= 0:
                _command(work, Command([t for t, _ in argv], [document.spot(c).line for _, c in argv]), lambda n: n)
                taken = {id(nodes.child(here, k)) for k in ("command", "args")}
                children = [c for c in children if id(c) not in taken]
            stack += reversed(children)


def _argv(container: Node) -> list[tuple[str, Node]]:
    """A container's command with its arguments, where both are lists."""
    command, args = nodes.items(nodes.child(container, "command")), nodes.items(nodes.child(container, "args"))
    return [(nodes.text(n), n) for n in (*command, *args)] if command and args else []


def _scalar(work: _Work, document: Document, scalar: ScalarNode) -> None:
    value = str(scalar.value)
    if len(value) < 12 or not _MENTION.search(value) or nodes.compose_is_mapping(value):
        return
    lines, _, fixed = placed(work.source, document, scalar)
    if document.kind == "Unit":
        value = value.lstrip("-@+!:")
    _text(work, value, (lambda n: fixed.line) if fixed else (lambda n: n + 1 + lines))


def _text(work: _Work, text: str, number: Number) -> None:
    if not _MENTION.search(text) or _rules(work, text, number):
        return
    for command in split_commands(text):
        _command(work, command, number)


def _rules(work: _Work, text: str, number: Number) -> bool:
    """Takes a text that is a whole file of rules, as iptables-restore and ``nft -f`` read them; False for any other."""
    from markreg.formats import by_name

    # The first line that says something, after comments such as iptables-save's own.
    first = next((x for x in text[:65536].split("\n") if x.strip() and (x[0] != "#" or x.startswith("#!"))), "")
    begins = _BEGINS.match(f"{first.strip()} ")
    notation = "iptables-save" if begins and begins[1] else "nft"
    form = by_name(notation) if begins else None
    if form is None or form.detect(Source("", text[:65536].encode("utf-8", "surrogateescape"))) != notation:
        return False
    lines = [rewrite.opened_line(line, number(n)) for n, line in enumerate(text.split("\n"))]
    work.files.append((notation, lines))
    work.statements += 1
    return True


def _command(work: _Work, command: Command, number: Number) -> None:
    at, name = program(command.words, _KNOWN, _BEFORE)
    if at < 0 and not (found := _wrapped(command)):
        _inner(work, command, number)
        return
    if at < 0 and found:
        at, name = found
    netns = HOST
    if name == "ip" and (inner := _inside(command, at)):
        at, name, netns = inner
    if at < 0:
        return
    work.statements += 1
    said = " ".join(command.words)
    try:
        _take(work, command, at, name, netns, number)
    except (ValueError, IndexError) as error:
        if _MENTION.search(said):
            work.opaque.setdefault(f"{name}: {error}", []).append(number(rewrite.mark_line(command)))


def _wrapped(command: Command) -> tuple[int, str] | None:
    """Where the options of an iptables rule about marks begin that somebody's own function or a variable runs."""
    words = command.words
    first = next((n for n, word in enumerate(words) if word.startswith("-")), 0)
    if not first or words[0] in _SAYS or not _ADDS.intersection(words) or not _RULE.search(" ".join(words)):
        return None
    return first - 1, "ip6tables" if "6" in words[first - 1] else "iptables"


def _inner(work: _Work, command: Command, number: Number) -> None:
    """What another program is given to run or to write down: a shell's ``-c``, a here-document."""
    words = command.words
    for at, word in enumerate(words[2:], 2):
        # sh -ec TEXT, also where another program runs the shell; ssh HOST TEXT.
        shell = _SHELL_TEXT.fullmatch(words[at - 1]) and words[at - 2].rpartition("/")[2] in (*_SHELLS, "su")
        if shell or (words[0] == "ssh" and " " in word):
            _text(work, word, lambda n, at=at: number(command.lines[at]))  # type: ignore[misc]
            return
    if words[0] in ("echo", "printf") and _MENTION.search(said := " ".join(words[1:])):
        _rules(work, said.replace("\\n", "\n"), lambda n: number(command.lines[0]))
    if command.given:
        first = command.given[0][0]
        _text(work, "\n".join(text for _, text in command.given), lambda n: number(first + n))


def _inside(command: Command, at: int) -> tuple[int, str, str] | None:
    """The command that ``ip netns exec NAME`` runs, and the namespace."""
    words = command.words
    if words[at + 1 : at + 3] != ["netns", "exec"]:
        return None
    inner, name = program(words[at + 4 :], _KNOWN, _BEFORE)
    netns = words[at + 3] if len(words) > at + 3 else HOST
    return (at + 4 + inner if inner >= 0 else -1), name, netns


def _take(work: _Work, command: Command, at: int, name: str, netns: str, number: Number) -> None:
    """One command to the notation that reads what it does."""
    family = "ip6" if name.startswith("ip6") else "ip"
    if name in _IPTABLES:
        if found := rewrite.iptables(command, at):
            table, line = found
            work.tables.setdefault((family, netns), {}).setdefault(table, []).append(_moved(line, number))
    elif name in _RESTORE:
        table = "filter"
        for n, text in command.given:
            if text.strip().startswith("*"):
                table = text.strip()[1:]
            elif text.strip().startswith(("-A", "-I", ":", "-N", "[")):
                made, opened = rewrite.closed(text.strip().split(" "))
                work.tables.setdefault((family, netns), {}).setdefault(table, []).append(Line(" ".join(made), number(n), opened))
    elif name == "nft":
        work.listed.setdefault(("nft", netns, "inet"), []).extend(_moved(x, number) for x in rewrite.nft(command, at))
    elif name == "ip":
        if rule := rewrite.ip_rule(command, at):
            work.listed.setdefault(("ip-rule", netns, rewrite.family_of(command, at)), []).append(_moved(rule, number))
    elif name == "tc":
        work.listed.setdefault(("tc", netns, "inet"), []).extend(_moved(x, number) for x in rewrite.tc(command, at))
    elif name == "ovs-ofctl":
        flows = [(command.words[-1], command.lines[-1])] if {"add-flow", "mod-flows"} & set(command.words) else []
        flows += [(text, n) for n, text in command.given]
        work.listed.setdefault(("openflow", netns, "inet"), []).extend(Line(text, number(n)) for text, n in flows if text.strip())
    elif name == "wg":
        _wireguard(work, command, at, netns, number)
    elif name == "conntrack":
        _conntrack(work, command, at, netns, number)


def _moved(line: Line, number: Number) -> Line:
    return replace(line, number=number(line.number))


def _wireguard(work: _Work, command: Command, at: int, netns: str, number: Number) -> None:
    words = command.words[at + 1 :]
    if words[:1] == ["set"] and "fwmark" in words[2:-1]:
        value = words[words.index("fwmark", 2) + 1]
        made, opened = rewrite.closed(["fwmark", value])
        mark = made[1] if made[1] == "off" else f"{int(made[1], 0):#x}"
        work.listed.setdefault(("wg", netns, "inet"), []).append(
            Line(f"{words[1][:15]}\t{mark}", number(rewrite.mark_line(command)), opened)
        )


def _conntrack(work: _Work, command: Command, at: int, netns: str, number: Number) -> None:
    words = command.words[at + 1 :]
    changing = {"-I", "-U", "--create", "--update"} & set(words)
    for option in ("-m", "--mark"):
        if changing and option in words[:-1]:
            value, slash, mask = words[words.index(option) + 1].partition("/")
            made, opened = rewrite.closed(["--mark", f"{value}/{mask}" if slash else value])
            value, slash, mask = made[1].partition("/")
            bits = int(mask, 0) if slash else 0xFFFFFFFF
            effect = masked_set(CT_MARK.name, 32, bits, int(value, 0) & bits)
            place = Place("manifest", "conntrack --update")
            line = number(rewrite.mark_line(command))
            scope = Scope(netns, work.scope.family)
            use = Use(CT_MARK.name, "write", bits, place, scope, work.source.path, (line,), made[1], effect, statement=" ".join(words))
            work.uses.append(rewrite.reopened(use, opened))


def _reading(work: _Work) -> Reading:
    """Everything rewritten, read by its notation, with the lines of the source."""
    parts = [*_saved(work), *_listed(work)]
    uses = (*work.uses, *(u for p in parts for u in p.uses))
    opaque = [o for p in parts for o in p.opaque]
    opaque += [Opaque(work.source.path, tuple(lines), reason) for reason, lines in work.opaque.items()]
    return Reading(
        work.source.path,
        "script",
        work.scope,
        uses=uses,
        tables=tuple(t for p in parts for t in p.tables),
        rules=tuple(r for p in parts for r in p.rules),
        opaque=tuple(opaque),
        statements=work.statements,
        mark_statements=len({line for u in uses for line in u.lines} | {line for o in opaque for line in o.lines}),
    )


def _saved(work: _Work) -> Iterator[Reading]:
    for (family, netns), tables in work.tables.items():
        lines: list[Line] = []
        for table, found in tables.items():
            chains = dict.fromkeys(line.text.split(" ", 2)[1] for line in found if line.text.startswith("-"))
            first = found[0].number
            lines.append(Line(f"*{table}", first))
            lines += [
                Line(f":{c} {'ACCEPT' if c in _CHAINS else '-'} [0:0]", first) for c in (*_CHAINS, *(c for c in chains if c not in _CHAINS))
            ]
            lines += [line for line in found if line.text.startswith(("-A", "-I", "["))]
            lines.append(Line("COMMIT", found[-1].number))
        yield _read(work, lines, "iptables-save", Scope(netns, family))


def _listed(work: _Work) -> Iterator[Reading]:
    for (notation, netns, family), lines in work.listed.items():
        if lines:
            yield _read(work, lines, notation, Scope(netns, family))
    for notation, lines in work.files:
        yield _read(work, lines, notation, Scope(HOST, work.scope.family))


def _read(work: _Work, lines: Sequence[Line], notation: str, scope: Scope) -> Reading:
    """Lines read by a notation, and everything it says put on the lines of the source."""
    from markreg.formats import by_name

    form = by_name(notation)
    if form is None:
        return Reading(
            work.source.path,
            notation,
            scope,
            opaque=(Opaque(work.source.path, tuple(x.number for x in lines), f"no reader for {notation}"),),
        )
    text = "".join(f"{line.text}\n" for line in lines)
    reading = form.read(Source(work.source.path, text.encode("utf-8", "surrogateescape")), notation, scope)
    numbers = [0, *(line.number for line in lines)]

    def there(found: Sequence[int]) -> tuple[int, ...]:
        return tuple(dict.fromkeys(numbers[n] if 0 <= n < len(numbers) else numbers[-1] for n in found))

    def use(old: Use) -> Use:
        opened = tuple(o for n in old.lines if 0 < n < len(numbers) for o in lines[n - 1].opened)
        return replace(rewrite.reopened(old, opened) if opened else old, lines=there(old.lines))

    def rule(old: Rule) -> Rule:
        return replace(old, line=there((old.line,))[0], use=use(old.use) if old.use else None)

    problems = [Opaque(work.source.path, there((p.line,)), p.message) for p in reading.problems]
    return replace(
        reading,
        uses=tuple(use(u) for u in reading.uses),
        tables=tuple(_table(t, there) for t in reading.tables),
        rules=tuple(rule(r) for r in reading.rules),
        opaque=(*(replace(o, lines=there(o.lines)) for o in reading.opaque), *problems),
        problems=(),
    )


def _table(table: Table, there: Callable[[Sequence[int]], tuple[int, ...]]) -> Table:
    def one(line: int) -> int:
        return there((line,))[0]

    steps = {c: ([one(n) for n in lines], list(targets)) for c, (lines, targets) in table.steps.items()}
    ends = {c: [one(n) for n in lines] for c, lines in table.ends.items()}
    return replace(table, steps=steps, gotos={one(n) for n in table.gotos}, ends=ends, inserted={one(n) for n in table.inserted})
