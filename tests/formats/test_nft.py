"""Rules of nft: what each does to marks, in every way to write it. Two-register forms, which older kernels lack, are from listings."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markreg.bits import full
from markreg.model import FIELDS, Use
from markreg.transfer import Source, Word, masked_set
from tests.formats.nft_support import read, rules

CASES = Path(__file__).parent / "cases" / "nft"


def cases(name: str) -> dict[str, Any]:
    return tomllib.loads((CASES / f"{name}.toml").read_text(encoding="utf-8"))


SILENT, WRITES, READS, OPAQUE = cases("silent"), cases("writes")["write"], cases("reads")["read"], cases("opaque")["rules"]


def forms(entries: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(entry, form, id=f"{entry['name']}: {form}") for entry in entries for form in entry["forms"]]


@pytest.mark.parametrize("rule", SILENT["rules"])
def test_nothing_about_marks(rule: str) -> None:
    reading = rules(rule)
    assert (reading.uses, reading.opaque, reading.problems, reading.mark_statements) == ((), (), (), 0)
    assert reading.statements == 1


@pytest.mark.parametrize("rule", SILENT["socket"]["rules"])
def test_a_sockets_mark_is_understood_and_no_use(rule: str) -> None:
    reading = rules(rule)
    assert (reading.uses, reading.opaque, reading.mark_statements) == ((), (), 1)


def effect(entry: dict[str, Any]) -> Word:
    field = entry.get("field", "skb_mark")
    width = FIELDS[field].width
    if "clear" in entry:
        return masked_set(field, width, entry["clear"], entry["flip"])
    copies = {Source(symbol, shift): mask for symbol, shift, mask in entry.get("copies", [])}
    return Word.make(width, entry.get("zero", 0), entry.get("one", 0), copies, entry.get("any", 0))


def changed(entry: dict[str, Any]) -> int:
    if "mask" in entry:
        return int(entry["mask"])
    return int(entry["clear"] | entry["flip"]) if "clear" in entry else full(32)


@pytest.mark.parametrize(("entry", "rule"), forms(WRITES))
def test_writes(entry: dict[str, Any], rule: str) -> None:
    reading = rules(f'iifname "eth0" {rule} comment "ct mark 5"')
    assert not reading.opaque
    assert not reading.problems
    field = entry.get("field", "skb_mark")
    (write,) = [u for u in reading.uses if u.effect]
    other = any(symbol != field for symbol, *_ in entry.get("copies", []))
    assert (write.field, write.access) == (field, "copy" if other else "write")
    assert write.effect == effect(entry)
    assert write.mask == changed(entry)
    assert [list(v) for v in write.values] == entry.get("values", [])
    assert write.possible == entry.get("possible", False)
    assert [[u.field, u.mask] for u in reading.uses if not u.effect] == ([entry["reads"]] if "reads" in entry else [])
    assert {u.comment for u in reading.uses} == {"ct mark 5"}


@pytest.mark.parametrize(("entry", "rule"), forms(READS))
def test_reads(entry: dict[str, Any], rule: str) -> None:
    reading = rules(f"{rule} counter packets 1 bytes 2")
    assert not reading.opaque
    (use,) = reading.uses
    assert (use.field, use.access, use.mask) == (entry.get("field", "skb_mark"), "read", entry["mask"])
    accepts = None if use.predicate is None else [list(interval) for interval in use.predicate.accepts]
    assert accepts == entry.get("accepts")
    if "value" in entry:
        assert use.value == entry["value"]


@pytest.mark.parametrize("rule", OPAQUE)
def test_what_is_not_understood_says_so(rule: str) -> None:
    reading = rules("accept", rule)
    (opaque,) = reading.opaque
    assert not reading.uses
    assert opaque.reason
    assert opaque.table == "inet t"
    assert (len(opaque.lines), reading.mark_statements) == (1, 1)


def test_what_is_understood_beside_what_is_not() -> None:
    reading = rules("xt match connmark meta mark set 0x5")
    assert [u.clause for u in reading.uses] == ["meta mark set 0x5"]
    assert len(reading.opaque) == 1


def test_a_rule_with_several_statements() -> None:
    reading = rules("meta mark 0x1 ct mark set 0x2 meta mark set 0x3 jump d")
    assert [(u.field, u.access, u.value) for u in reading.uses] == [
        ("skb_mark", "read", 1),
        ("ct_mark", "write", 2),
        ("skb_mark", "write", 3),
    ]
    assert {u.target for u in reading.uses} == {"d"}


def test_a_zone_that_a_rule_asks_for() -> None:
    reading = rules("ct zone 5 ct mark set 1 meta mark set 2", "ct zone set 6 ct mark 3")
    assert [(u.field, u.scope.zone) for u in reading.uses] == [("ct_mark", "5"), ("skb_mark", None), ("ct_mark", None)]


def test_equal_statements_are_one_use() -> None:
    reading = rules(
        'iifname "eth0" ip saddr 10.0.0.1 tcp dport 80 counter packets 7 bytes 9 meta mark set 0x5 comment "pod-1"',
        'iifname "eth0" ip saddr 10.0.0.2 tcp dport { 80, 443 } counter packets 0 bytes 0 meta mark set 0x5 comment "pod-2"',
        'iifname "eth1" ip saddr 10.0.0.2 tcp dport 80 counter meta mark set 0x5 comment "pod-2"',
        'iifname "eth0" ip saddr != 10.0.0.2 tcp dport 80 meta mark set 0x5 log prefix "x"',
    )
    assert [len(u.lines) for u in reading.uses] == [2, 1, 1]
    assert reading.uses[0].statement == 'iifname "eth0" ip saddr _ tcp dport _ meta mark set 0x5'
    assert reading.uses[2].statement == 'iifname "eth0" ip saddr != _ tcp dport _ meta mark set 0x5 log prefix ""'


# Expressions as trees, written with as few brackets as C needs, or more, and worked out by a plain evaluator.
Tree = tuple[Any, ...]
_LEVEL = {"<<": 1, ">>": 1, "&": 2, "^": 3, "|": 4}
_WORDS = {"<<": "lshift", ">>": "rshift", "&": "and", "^": "xor", "|": "or"}
numbers = st.one_of(st.integers(0, 255), st.integers(0, full(32)), st.sampled_from([0, 1, full(32), 0xFFFFFF00]))
leaves = st.one_of(st.sampled_from([("key", "meta mark"), ("key", "ct mark"), ("key", "mark")]), numbers.map(lambda n: ("number", n)))


def _grown(inner: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    shifts = st.tuples(st.sampled_from(["<<", ">>"]), inner, st.integers(0, 31).map(lambda n: ("number", n)))
    return st.one_of(shifts, st.tuples(st.sampled_from(["&", "|", "^"]), inner, inner))


trees = st.recursive(leaves, _grown, max_leaves=8)


def written(tree: Tree, words: bool, brackets: bool, within: int = 9) -> str:
    kind = tree[0]
    if kind == "key":
        return str(tree[1])
    if kind == "number":
        return f"{tree[1]:#x}"
    level = _LEVEL[kind]
    text = f"{written(tree[1], words, brackets, level)} {_WORDS[kind] if words else kind} {written(tree[2], words, brackets, level - 1)}"
    return f"({text})" if brackets or level > within else text


def worked_out(tree: Tree, skb: int, ct: int) -> int:
    kind = tree[0]
    if kind == "key":
        return ct if tree[1] == "ct mark" else skb
    if kind == "number":
        return int(tree[1])
    a, b = worked_out(tree[1], skb, ct), worked_out(tree[2], skb, ct)
    return (
        {"<<": a << b, ">>": a >> b, "&": a & b, "|": a | b, "^": a ^ b}[kind] & full(32)
        if kind in ("<<", ">>")
        else int({"&": a & b, "|": a | b, "^": a ^ b}[kind])
    )


def single(tree: Tree) -> bool:
    """Whether only one mark is read, and never by two ways that meet in one bit."""
    return str(tree).count("'key'") <= 1


@given(trees, st.booleans(), st.booleans(), numbers, numbers)
def test_expressions_are_what_they_say(tree: Tree, words: bool, brackets: bool, skb: int, ct: int) -> None:
    text = written(tree, words, brackets)
    for target, field in (("meta mark", "skb_mark"), ("ct mark", "ct_mark")):
        reading = rules(f"{target} set {text}")
        assert not reading.opaque
        (write,) = [u for u in reading.uses if u.effect]
        assert write.field == field
        assert write.effect
        state = {"skb_mark": skb, "ct_mark": ct}
        result = worked_out(tree, skb, ct)
        assert write.effect.allows(result, state)
        if single(tree):
            assert write.effect.value(state) == result
        before = skb if field == "skb_mark" else ct
        assert not (before ^ result) & ~write.mask


@given(trees.filter(single), st.sampled_from(["==", "!=", ""]), st.lists(numbers, min_size=1, max_size=3), numbers)
def test_comparisons_are_what_they_say(tree: Tree, relation: str, against: list[int], mark: int) -> None:
    value = worked_out(tree, mark, mark)
    against = [*against, value] if mark % 2 else against
    right = f"{against[0]:#x}" if len(against) == 1 else "{ " + ", ".join(map(hex, against)) + " }"
    for use in rules(f"{written(tree, False, True)} {relation} {right}").uses:
        if use.predicate:
            assert use.predicate.holds(mark) == ((value in against) != (relation == "!="))


@given(st.integers(0, full(32)), st.sampled_from(["<", ">", "<=", ">=", "-", "/"]), numbers, numbers, numbers)
def test_orders_are_what_they_say(mask: int, relation: str, low: int, high: int, mark: int) -> None:
    low, high = sorted((low, high))
    length = high % 33
    said = {"-": f"{low:#x}-{high:#x}", "/": f"{low}/{length}"}.get(relation, f"{relation} {low:#x}")
    (use,) = rules(f"meta mark & {mask:#x} {said}").uses
    value, cut = mark & mask, full(32) & ~full(32 - length)
    holds = {
        "<": value < low,
        ">": value > low,
        "<=": value <= low,
        ">=": value >= low,
        "-": low <= value <= high,
        "/": value & cut == low & cut,
    }[relation]
    assert use.predicate
    assert use.predicate.holds(mark) == holds


def test_a_label_is_128_bits() -> None:
    (use,) = rules("ct label set 100").uses
    assert isinstance(use, Use)
    assert (use.mask, use.value) == (1 << 100, 1 << 100)


def test_an_old_version_shows_extensions_in_comments() -> None:
    text = "table ip mangle {\n\tchain PREROUTING {\n\t\tcounter packets 0 bytes 0 # xt_CONNMARK\n\t\tcounter # xt_comment\n\t}\n}\n"
    assert [o.lines for o in read(text).opaque] == [(3,)]
