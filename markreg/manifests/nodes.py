"""YAML and JSON as PyYAML's nodes, which know their places: safely, in bounded time and memory, whatever the text is.

Nodes are composed and never constructed: a tag builds no object, and an alias is the anchored node itself, so that a billion laughs
are a dozen nodes. Walks visit each node once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from markreg.source import Source

if TYPE_CHECKING:
    from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

LARGEST = 16 << 20
DEEPEST = 200
MOST = 20_000
# More openings, or a deeper indentation, than this, and the depth is counted before anything is composed: the composer of libyaml's
# binding is recursive in C, and ends the process some tens of thousands deep.
_FEW = 5000
_INDENTED = b" " * _FEW
_DASHES = re.compile(rb"[-?:][ \t]+[-?:][ \t]+[-?:][ \t]+[-?:][ \t]")
_OBJECTS = b"python/"
_NULLS = ("", "~", "null", "Null", "NULL")
_TAG = "tag:yaml.org,2002:str"
_STANDS_FOR = "\ue000"
_ACTIONS = (("{{", "}}"), ("{%", "%}"), ("<%", "%>"))
_KEYED = re.compile(r"\s*(?:#[^\n]*\n\s*)*(?:[\w.-]+:(?:\s|$)|\{|- )")
_TEMPLATE = re.compile(r"\{\{|\{%|<%")


@dataclass(frozen=True, slots=True)
class Broken:
    """Why a text is no YAML: what it says of itself, at which line (from 1). ``template``: it is one, before it is rendered."""

    message: str
    line: int = 0
    template: bool = False


def compose(source: Source) -> tuple[list[Node], Broken | None]:
    """The documents of a stream up to where it breaks, and what breaks it."""
    data = source.data
    if len(data) > LARGEST:
        return [], Broken(f"is larger than {LARGEST >> 20} MB ({len(data) >> 20} MB): nobody's manifest")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return [], Broken("is not UTF-8 here", data.count(b"\n", 0, error.start) + 1)
    template = bool(_TEMPLATE.search(text))
    roots, broken = _composed(_without_actions(text).encode() if template else data)
    if broken and template:
        return roots, Broken("is a template that is no YAML before it is rendered", broken.line, template=True)
    return roots, broken


def compose_text(text: str) -> Node | None:
    """The first document of an embedded text; None if it is no YAML with keys."""
    data = text.encode("utf-8", "replace")
    if len(data) > LARGEST:
        return None
    roots, _ = _composed(_without_actions(text).encode("utf-8", "replace") if _TEMPLATE.search(text) else data)
    return roots[0] if roots and shape(roots[0]) != "scalar" else None


def is_open(value: str) -> bool:
    """Whether a value is left to somebody else: a template, or a variable that the shell or an operator fills in."""
    return _STANDS_FOR in value or "{{" in value or "${" in value or "$(" in value or value.startswith("$")


def _without_actions(text: str) -> str:
    """A template with its actions blanked: a line of them is none, others are values that nobody knows. Columns stay."""
    made: list[str] = []
    at = 0
    while (start := min((n for n in (text.find(o, at) for o, _ in _ACTIONS) if n >= 0), default=-1)) >= 0:
        end = text.find(next(c for o, c in _ACTIONS if text.startswith(o, start)), start + 2)
        if end < 0:
            break
        action = text[start : end + 2]
        made += [text[at:start], re.sub(r"[^\n]", " " if "\n" in action else _STANDS_FOR, action)]
        at = end + 2
    lines = "".join((*made, text[at:])).split("\n")
    return "\n".join(" " * len(line) if _STANDS_FOR in line and not line.strip(f" \t{_STANDS_FOR}") else line for line in lines)


def _composed(data: bytes) -> tuple[list[Node], Broken | None]:
    import yaml

    loader_class = _loader()
    if _OBJECTS in data and (broken := _builds_objects(data)):
        return [], broken
    if _may_be_deep(data) and (broken := _too_deep(data, loader_class)):
        return [], broken
    roots: list[Node] = []
    loader = loader_class(data)
    try:
        while loader.check_node():
            node = loader.get_node()
            if node is not None:
                roots.append(node)
            if len(roots) > MOST:
                return roots, Broken(f"has more than {MOST} documents")
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        return roots, _broken(error)
    finally:
        loader.dispose()
    return roots, None


@cache
def _loader() -> Any:  # noqa: ANN401 (a class made of one that may or may not be there)
    """A loader that gives every node one tag: what a plain word means is asked where it is read, and asking is half of the time."""
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        def descend_resolver(self, *_: object) -> None:
            pass

        def ascend_resolver(self) -> None:
            pass

        def resolve(self, *_: object) -> str:
            return _TAG

    return Loader


def _broken(error: Exception) -> Broken:
    why = getattr(error, "problem", None) or getattr(error, "reason", None) or "too deep"
    return Broken(f"is no YAML: {why}", line_of(getattr(error, "problem_mark", None)))


def line_of(mark: Any) -> int:  # noqa: ANN401 (a mark of libyaml's binding, which has no common class)
    """The line of a mark, from 1; 0 without one."""
    return int(mark.line) + 1 if mark else 0


def _builds_objects(data: bytes) -> Broken | None:
    import yaml

    try:
        for event in yaml.parse(data, Loader=_loader()):
            tag = getattr(event, "tag", None)
            if tag and _OBJECTS.decode() in tag:
                return Broken(f"has a tag that builds objects: {tag[:60]}", line_of(event.start_mark))
    except yaml.YAMLError as error:
        return _broken(error)
    return None


def _may_be_deep(data: bytes) -> bool:
    return data.count(b"[") + data.count(b"{") > _FEW or _INDENTED in data or bool(_DASHES.search(data))


def _too_deep(data: bytes, loader: type) -> Broken | None:
    import yaml

    depth = 0
    try:
        for event in yaml.parse(data, Loader=loader):
            name = type(event).__name__
            if name in ("MappingStartEvent", "SequenceStartEvent"):
                depth += 1
                if depth > DEEPEST:
                    return Broken(f"is nested deeper than {DEEPEST}", line_of(event.start_mark))
            elif name in ("MappingEndEvent", "SequenceEndEvent"):
                depth -= 1
    except yaml.YAMLError as error:
        return _broken(error)
    return None


def shape(node: Node) -> str:
    """``scalar``, ``sequence`` or ``mapping``."""
    return str(node.id)  # type: ignore[attr-defined]


def entries(node: Node | None) -> Iterator[tuple[str, ScalarNode, Node]]:
    """The keys and values of a mapping, with what merge keys (``<<``) bring; nothing for any other node."""
    queue, seen = [node], {id(node)}
    while queue:
        here = queue.pop()
        if here is None or shape(here) != "mapping":
            continue
        for key, value in here.value:
            if shape(key) != "scalar":
                continue
            if key.value != "<<":
                yield key.value, key, value
                continue
            for other in reversed(value.value) if shape(value) == "sequence" else (value,):
                if id(other) not in seen:
                    seen.add(id(other))
                    queue.append(other)


def child(node: Node | None, key: str) -> Node | None:
    """The value of a key: the last of a mapping's own, as in Go's decoder, else what a merge key brings."""
    if node is None or shape(node) != "mapping":
        return None
    merges = False
    for name, value in reversed(node.value):
        if name.value == key:
            return value  # type: ignore[no-any-return]
        merges |= name.value == "<<"
    return next((value for name, _, value in entries(node) if name == key), None) if merges else None


def items(node: Node | None) -> list[Node]:
    """The entries of a sequence; none of any other node."""
    return list(node.value) if node is not None and shape(node) == "sequence" else []


def text(node: Node | None) -> str:
    """A scalar's text; empty for any other node."""
    return str(node.value) if node is not None and shape(node) == "scalar" else ""


def is_null(node: Node | None) -> bool:
    """Whether a scalar says nothing: ``null``, ``~`` or nothing at all, without quotes."""
    return node is not None and shape(node) == "scalar" and not getattr(node, "style", None) and text(node) in _NULLS


def at(node: Node | None, path: str) -> Iterator[Node]:
    """The nodes at ``a.b[].c``: ``[]`` is every entry of a list, ``*`` every key of a mapping, ``[n]`` one entry.

    A key of a list is that key of all its entries.
    """
    found = [node] if node is not None else []
    for step in re.findall(r"\[\d*\]|[^.\[\]]+", path):
        following: list[Node] = []
        for here in found[:1000]:
            if step == "[]":
                following += items(here)
            elif step[0] == "[":
                following += items(here)[int(step[1:-1]) :][:1]
            elif step == "*":
                following += [value for _, _, value in entries(here)]
            elif shape(here) == "sequence":
                following += [value for item in items(here) if (value := child(item, step)) is not None]
            elif (value := child(here, step)) is not None:
                following.append(value)
        found = following
    yield from found


def scalars(node: Node | None) -> Iterator[ScalarNode]:
    """Every scalar value below a node, each once."""
    seen: set[int] = set()
    stack = [node] if node is not None else []
    while stack:
        here = stack.pop()
        if id(here) in seen:
            continue
        seen.add(id(here))
        if shape(here) == "scalar":
            yield cast("ScalarNode", here)
        elif shape(here) == "sequence":
            stack += reversed(cast("SequenceNode", here).value)
        else:
            stack += [value for _, value in reversed(cast("MappingNode", here).value)]


def compose_is_mapping(value: str) -> bool:
    """Whether a text is a document of its own: its commands are found there, with better places."""
    return _KEYED.match(value) is not None and compose_text(value) is not None
