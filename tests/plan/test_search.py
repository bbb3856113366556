"""The least change of settings with which components can share a node, held against the registry's own overlaps."""

from __future__ import annotations

from itertools import combinations, product
from math import prod

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from markreg.plan.answer import Refuted, answer, with_fixed
from markreg.plan.search import GaveUpError, Impossible, Problem, Solution, solve
from markreg.registry.load import load
from markreg.registry.model import (
    BitsFrom,
    ComponentEntry,
    Draw,
    Field,
    Knob,
    Limit,
    Pool,
    Registry,
    Reservation,
    Rules,
)
from markreg.registry.overlaps import overlap
from markreg.registry.words import Scalar
from tests.support import ROOT

SHIPPED = load(ROOT / "registry.toml")
Settings = dict[str, dict[str, Scalar]]


def problem(names: str, settings: Settings | None = None, **releases: str) -> Problem:
    given_ = settings or {}
    return Problem(SHIPPED, tuple(names.split()), given_, releases, {c: frozenset(s) for c, s in given_.items()})


def faults(found: Solution) -> list[tuple[str, str]]:
    """What the registry itself says of the settings found: pairs that overlap, and settings that are refused."""
    resolver = found.resolver()
    registry = found.problem.registry
    rows = [row for m in found.problem.members for row in resolver.in_force(m)]
    bad = []
    for a, b in combinations(rows, 2):
        item = overlap(registry, a, b, resolver)
        if item and item.severity == "error" and not (item.conflict and a.component == b.component):
            bad.append((a.path, b.path))
    return bad + [(m, why) for m in found.problem.members for why in resolver.faults(m)]


# Real conflicts, the settings given, and the least change that ends each.
ENDED: list[tuple[str, Settings, dict[str, int]]] = [
    ("calico tailscale kube-proxy", {}, {"calico mark-mask": 0xFF000000}),
    ("calico tailscale", {}, {"calico mark-mask": 0xFF000000}),
    ("calico kube-router", {}, {"calico mark-mask": 0xFFFC0000}),
    ("calico netbird", {}, {"calico mark-mask": 0xFFFE0000}),
    ("calico submariner kube-proxy", {"submariner": {"globalnet": True}}, {"calico mark-mask": 0xFFF30000}),
    ("calico weave", {}, {"calico mark-mask": 0xFFFB0000}),
    ("calico kube-ovn", {}, {"calico mark-mask": 0xFFF70000}),
    ("pbr tailscale", {}, {"pbr fw-mask": 8}),
    ("kube-proxy wireguard", {}, {"kube-proxy masquerade-bit": 1}),
    ("kube-proxy ovn-kubernetes", {}, {"kube-proxy masquerade-bit": 1}),
    ("kube-proxy docker", {"docker": {"encrypted-overlay": True}}, {"kube-proxy masquerade-bit": 1}),
    ("netbird cni-portmap", {}, {"cni-portmap mark-masq-bit": 1}),
    ("calico netbird cni-portmap", {}, {"calico mark-mask": 0xFFFE0000, "cni-portmap mark-masq-bit": 1}),
    ("cilium kube-proxy", {"cilium": {"ipsec": True}}, {"kube-proxy masquerade-bit": 1}),
    (
        "cilium kube-proxy cni-portmap",
        {"cilium": {"ipsec": True}},
        {"kube-proxy masquerade-bit": 1, "cni-portmap mark-masq-bit": 1},
    ),
    ("calico tailscale kube-proxy wireguard", {}, {"calico mark-mask": 0xFF000000, "kube-proxy masquerade-bit": 1}),
]
# Real conflicts that no setting ends, and the smallest set that is to blame.
REFUTED: list[tuple[str, Settings, set[str]]] = [
    ("calico tailscale", {"calico": {"bpf": True}}, {"calico", "tailscale"}),
    ("calico tailscale kube-proxy cni-portmap", {"calico": {"bpf": True}}, {"calico", "tailscale"}),
    ("calico kube-router tailscale", {}, {"kube-router", "tailscale"}),
    ("cilium tailscale kube-proxy", {}, {"cilium", "tailscale"}),
    ("kube-ovn tailscale calico", {}, {"kube-ovn", "tailscale"}),
    ("azure-npm cilium", {}, {"azure-npm", "cilium"}),
    ("cilium kube-proxy", {"cilium": {"ipsec": True, "cluster-mesh": True}}, {"cilium", "kube-proxy"}),
    ("mullvad tailscale", {}, {"mullvad", "tailscale"}),
    ("calico", {"calico": {"bpf": True, "mark-mask": 0xFF000000}}, {"calico"}),
    ("calico tailscale", {"calico": {"mark-mask": 0xFFFF0000}}, {"calico", "tailscale"}),
]


class TestRealConflicts:
    @pytest.mark.parametrize(("names", "settings", "turned"), ENDED, ids=[e[0] for e in ENDED])
    def test_it_is_ended_by_the_least_change(self, names: str, settings: Settings, turned: dict[str, int]) -> None:
        found = solve(problem(names, settings))
        assert isinstance(found, Solution)
        assert faults(found) == []
        assert {v.name: v.mask(value) if turned.get(v.name, 0) > 32 else v.mask(value).bit_count() for v, value in found.turned} == turned

    @pytest.mark.parametrize(("names", "settings", "turned"), ENDED, ids=[e[0] for e in ENDED])
    def test_without_the_change_it_is_there(self, names: str, settings: Settings, turned: dict[str, int]) -> None:
        p = problem(names, settings)
        assert faults(Solution(p, (), (0,) * 6, ()))

    @pytest.mark.parametrize(("names", "settings", "blamed"), REFUTED, ids=[f"{e[0]} {e[1]}" for e in REFUTED])
    def test_it_is_proved_to_have_no_end(self, names: str, settings: Settings, blamed: set[str]) -> None:
        found = answer(problem(names, settings))
        assert isinstance(found, Refuted)
        assert set(found.members) == blamed
        assert found.why
        for name in blamed:
            rest = [m for m in found.members if m != name]
            assert not rest or isinstance(solve(problem(" ".join(rest), settings)), Solution)

    def test_why_bpf_mode_has_no_end_beside_tailscale(self) -> None:
        found = answer(problem("calico tailscale", {"calico": {"bpf": True}}))
        assert isinstance(found, Refuted)
        said = " ".join(found.why)
        assert "calico/bpf-flags has skb_mark 20-28 with bpf = true, which no setting moves" in said
        assert "insists on 0x1ff00000 in mark-mask" in said
        assert any("0x1ff00000" in c.way_out for c in found.known)

    @pytest.mark.parametrize(
        "names", ["kube-proxy cni-portmap", "calico kube-proxy", "kube-proxy tailscale", "flannel kube-proxy", "mwan3"]
    )
    def test_what_lives_together_is_left_alone(self, names: str) -> None:
        found = solve(problem(names))
        assert isinstance(found, Solution)
        assert not found.turned

    def test_older_releases_have_other_bits(self) -> None:
        found = solve(problem("calico kube-ovn", calico="3.20"))
        assert isinstance(found, Solution)
        assert [v.name for v, _ in found.turned] == ["calico mark-mask"]
        assert faults(found) == []

    def test_bits_that_nobody_knows_can_be_fixed(self) -> None:
        p = problem("calico edge")
        found = solve(Problem(with_fixed(SHIPPED, {"edge": ("skb_mark", "16-19")}), p.members))
        assert isinstance(found, Solution)
        assert {v.name: hex(value) for v, value in found.turned} == {"calico mark-mask": "0xfff00000"}

    def test_a_search_can_be_stopped(self) -> None:
        with pytest.raises(GaveUpError):
            solve(problem("calico tailscale"), limit=1)


WIDTH = 5
FIELD = Field("f", WIDTH, "packet")


def registry(components: list[tuple[ComponentEntry, Rules]]) -> Registry:
    """A registry of a field of a few bits."""
    entries = {c.name: c for c, _ in components}
    return Registry("", "", "plan", entries, {c.name: r for c, r in components}, {"f": FIELD}, SHIPPED.scopes, {}, (), (), (), ())


def fixed(name: str, mask: int) -> tuple[ComponentEntry, Rules]:
    return ComponentEntry(name, reservation=(Reservation("x", field="f", bits=hex(mask), source=("s",)),)), Rules(name)


def one_bit(name: str, at: int, low: int) -> tuple[ComponentEntry, Rules]:
    knob = Knob("bit", "bit", default=at, limits=(Limit(range=f"{low}-{WIDTH - 1}"),))
    row = Reservation("x", field="f", bits_from=BitsFrom("bit"), source=("s",))
    return ComponentEntry(name, reservation=(row,)), Rules(name, knob=(knob,))


def run(name: str, at: int, size: int) -> tuple[ComponentEntry, Rules]:
    knob = Knob("mask", "mask", default=((1 << size) - 1) << min(at, WIDTH - size))
    row = Reservation("x", field="f", bits_from=BitsFrom("mask"), source=("s",))
    return ComponentEntry(name, reservation=(row,)), Rules(name, knob=(knob,))


def pool(name: str, mask: int, draws: int, rest: bool) -> tuple[ComponentEntry, Rules]:
    knob = Knob("mask", "mask", default=mask, limits=(Limit(min_bits=draws),))
    names = [f"d{n}" for n in range(draws)]
    drawn = (*(Draw(n) for n in names), *((Draw("rest", "rest"),) if rest else ()))
    rows = tuple(Reservation(d.name, source=("s",)) for d in drawn)
    return ComponentEntry(name, reservation=rows, pool=(Pool("p", "f", "mask", draw=drawn),)), Rules(name, knob=(knob,))


@st.composite
def parties(draw: st.DrawFn) -> list[tuple[ComponentEntry, Rules]]:
    bits = st.integers(0, WIDTH - 1)
    kinds = {
        "fixed": st.builds(fixed, st.just(""), st.integers(1, (1 << WIDTH) - 2)),
        "bit": st.builds(one_bit, st.just(""), st.integers(2, WIDTH - 1), st.integers(0, 2)),
        "run": st.builds(run, st.just(""), bits, st.integers(1, 3)),
        "pool": st.builds(lambda m, d, r: pool("", m, min(d, m.bit_count()), r), st.integers(3, 31), st.integers(1, 3), st.booleans()),
    }
    chosen = draw(st.lists(st.sampled_from(sorted(kinds)), min_size=2, max_size=3))
    made = [draw(kinds[kind]) for kind in chosen]
    return [(ComponentEntry(f"c{n}", reservation=c.reservation, pool=c.pool), Rules(f"c{n}", knob=r.knob)) for n, (c, r) in enumerate(made)]


def every(entry: ComponentEntry, rules: Rules) -> list[int | None]:
    """All values that a party's knob may have: those that keep the size of what is in it, or any mask of a pool."""
    if not rules.knob:
        return [None]
    (knob,) = rules.knob
    assert isinstance(knob.default, int)
    if knob.type == "bit":
        return list(range(WIDTH))
    if entry.pool:
        return list(range(1 << WIDTH))
    size = knob.default.bit_count()
    return [((1 << size) - 1) << low for low in range(WIDTH - size + 1)]


@given(parties())
def test_the_answer_is_that_of_trying_everything(components: list[tuple[ComponentEntry, Rules]]) -> None:
    assume(prod(len(every(c, r)) for c, r in components) <= 1100)
    p = Problem(registry(components), tuple(c.name for c, _ in components))
    found = solve(p)
    knobs = {c.name: r.knob[0] for c, r in components if r.knob}
    fewest: int | None = None
    for values in product(*(every(c, r) for c, r in components)):
        turned = {(n, knobs[n].name): v for n, v in zip(p.members, values, strict=True) if v is not None and v != knobs[n].default}
        if fewest is not None and len(turned) >= fewest:
            continue
        resolver = p.resolver(turned)
        rows = [row for m in p.members for row in resolver.in_force(m)]
        clean = not any((o := overlap(p.registry, a, b, resolver)) and o.severity == "error" for a, b in combinations(rows, 2))
        if clean and not any(resolver.faults(m) for m in p.members):
            fewest = len(turned)
    if isinstance(found, Impossible):
        assert fewest is None
    else:
        assert faults(found) == []
        assert len(found.turned) == fewest


@given(parties())
def test_who_is_blamed_cannot_be_fewer(components: list[tuple[ComponentEntry, Rules]]) -> None:
    p = Problem(registry(components), tuple(c.name for c, _ in components))
    found = answer(p)
    if isinstance(found, Refuted):
        assert isinstance(solve(p.of(found.members)), Impossible)
        for size in range(1, len(found.members)):
            assert all(isinstance(solve(p.of(some)), Solution) for some in combinations(p.members, size))
