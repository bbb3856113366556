"""YAML that means harm, and YAML that is only unusual: in bounded time and memory, and at the right place."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from markreg.formats import manifest
from markreg.manifests import documents, nodes
from markreg.manifests.nodes import at, child, compose, items, text
from markreg.model import Reading, Scope
from markreg.source import Source

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n"


def read(data: bytes | str, path: str = "x.yaml") -> Reading:
    return manifest.read(Source(path, data.encode() if isinstance(data, str) else data), "manifest", Scope())


def laughs() -> str:
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 60)]
    return POD + "spec:\n" + "".join(f"  {line}\n" for line in lines)


MERGES = POD + "x0: &x0 {k: v}\n" + "".join(f"x{n}: &x{n}\n  <<: [{', '.join([f'*x{n - 1}'] * 9)}]\n" for n in range(1, 40))
HOSTILE: dict[str, str | bytes] = {
    "aliases by the billion": laughs(),
    "merge keys by the billion": MERGES,
    "one object a million times": "kind: List\napiVersion: v1\nitems:\n- &c {kind: ConfigMap, data: {a: '{\"k\": 1}'}}\n"
    + "- *c\n" * 300_000,
    "an alias of itself": "&a [*a, {kind: Pod, metadata: *a}]",
    "flow nesting": "[" * 200_000,
    "block nesting": "".join(f"{' ' * n}a:\n" for n in range(3000)),
    "dashes in a row": "- " * 100_000 + "x",
    "keys in a row": "? " * 100_000 + "x",
    "a hundred megabytes": b"a: b\n" * (20 << 20),
    "endless documents": "---\na\n" * 400_000,
    "open actions": "a: {{" * 200_000,
    "no UTF-8": b"kind: Pod\nname: \xff\xfe\n",
    "NUL bytes": b"kind: Pod\0\0\nname: x\n",
    "a tag that builds an object": "kind: !!python/object/apply:os.system ['touch /tmp/markreg-was-here']\n",
    "a tag that loads a module": "a: !!python/module:os\n",
    "quotes that do not close": "a: '" + "x" * 500_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_it_ends_soon(name: str) -> None:
    data = HOSTILE[name]
    tracemalloc.start()
    began = time.monotonic()
    try:
        reading = read(data)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert time.monotonic() - began < 15
    assert peak < 600 << 20
    assert len(reading.documents) <= nodes.MOST


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("flow nesting", "nested deeper than 200"),
        ("dashes in a row", "nested deeper than 200"),
        ("a hundred megabytes", "larger than 16 MB"),
        ("endless documents", "more than 20000 documents"),
        ("no UTF-8", "not UTF-8"),
        ("a tag that builds an object", "tag that builds objects"),
        ("a tag that loads a module", "tag that builds objects"),
    ],
)
def test_what_is_refused_says_why(name: str, why: str) -> None:
    problems = read(HOSTILE[name]).problems
    assert [p for p in problems if why in p.message], problems


def test_deep_is_not_hostile() -> None:
    assert not read("a: " + "[" * 150 + "]" * 150).problems
    assert not read(POD + "spec:\n" + "".join(f"{'  ' * n}a:\n" for n in range(1, 80))).problems


def test_what_stands_before_the_break_counts() -> None:
    reading = read("kind: Pod\nmetadata: {name: a}\n---\nkind: [\n")
    assert [d.kind for d in reading.documents] == ["Pod"]  # type: ignore[attr-defined]
    (problem,) = reading.problems
    assert problem.line in (4, 5)


def test_a_template_is_no_broken_file() -> None:
    assert not read("{{- range .Values.x }}\nkind: Pod\n{{ end }}\n").problems
    assert read("a: b\n{{ fail }}: [\n").unread


def test_actions_are_values_that_nobody_knows() -> None:
    roots, broken = compose(Source("x.yaml", b'{{ if .x }}\na: {{ .Values.a }}\nb: "{{ .b }}-x"\n{{- end }}\nc: 1\n'))
    assert broken is None
    (root,) = roots
    assert nodes.is_open(text(child(root, "a")))
    assert nodes.is_open(text(child(root, "b")))
    assert text(child(root, "c")) == "1"


@pytest.mark.parametrize(
    ("path", "found"),
    [("a.b", ["1"]), ("l[].n", ["x", "y"]), ("l[1].n", ["y"]), ("l.n", ["x", "y"]), ("m.*", ["3", "4"]), ("a.c", []), ("l[7].n", [])],
)
def test_paths(path: str, found: list[str]) -> None:
    (root,), _ = compose(Source("x", b"a: {b: 1}\nl: [{n: x}, {n: y}]\nm: {p: 3, q: 4}\n"))
    assert [text(n) for n in at(root, path)] == found


def test_the_last_of_two_keys_and_what_merges_bring() -> None:
    (root,), _ = compose(Source("x", b"a: &a {k: 1, m: 2}\nb: {<<: *a, k: 3, k: 4}\n"))
    assert (text(child(child(root, "b"), "k")), text(child(child(root, "b"), "m"))) == ("4", "2")
    assert not items(child(root, "b"))


def test_places_inside_a_configmap() -> None:
    lines = [
        "apiVersion: v1",
        "kind: List",
        "items:",
        "- kind: ConfigMap",
        "  metadata: {name: c}",
        "  data:",
        "    conf.yaml: |",
        "",
        "      kind: KubeProxyConfiguration",
        "      iptables:",
        "        masqueradeBit: 20",
        '    one-line: \'{"kind": "KubeProxyConfiguration", "mode": "ipvs"}\'',
    ]
    found = documents.read(Source("x.yaml", "\n".join(lines).encode()))
    literal, flow = (d for d in found.documents if d.kind == "KubeProxyConfiguration")
    spot = literal.spot(next(at(literal.root, "iptables.masqueradeBit")))
    assert lines[spot.line - 1][spot.column - 1 : spot.end - 1] == "20"
    assert flow.spot(next(at(flow.root, "mode"))).line == 12
