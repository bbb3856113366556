"""Synthetic audits: each a small node as the engine would hand it to a report."""

from __future__ import annotations

from dataclasses import replace

from markreg.model import Audit, Component, Finding, Hook, Input, Location, Node, Owned, Place, Scope, Use
from markreg.source import Source
from markreg.transfer import Predicate, Word, masked_set
from markreg.transfer import Source as Copied

CALICO_PLACE = Place("netfilter", "iptables raw cali-PREROUTING", "ip", "legacy", "raw", "cali-PREROUTING", (Hook("prerouting", -300),))
FORWARD_PLACE = Place("netfilter", "iptables filter ts-forward", "ip", "legacy", "filter", "ts-forward", (Hook("forward", 0),))
RULE_PLACE = Place("rule", "ip rule 5210", "ip", table="52", priority=5210)
HOST_IP = Scope("host", "ip")

SAVE = b"""*raw
:cali-PREROUTING - [0:0]
-A cali-PREROUTING -m comment --comment "cali:aaa" -i cali+ -m addrtype --src-type LOCAL -j MARK --set-xmark 0x40000/0x40000
COMMIT
*filter
-A ts-forward -m mark --mark 0x40000/0xff0000 -j ACCEPT
-A ts-forward -m mark --mark 0x40000/0xff0000 -j ACCEPT
-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000
-A LOCAL -j CONNMARK --restore-mark
-A LOCAL -m mark ! --mark 0x0 -j RETURN
COMMIT
"""
SAVE_SOURCE = Source("iptables-save.txt", SAVE)


def locate(source: Source, line: int, clause: str, role: str, owned: Owned) -> Location:
    """A finding's location as checks make it."""
    column, end = source.locate(line, clause)
    return Location(role, owned.owner, owned.use.place.text, source.path, line, column, end, source.line(line), owned.id)


def _write() -> Owned:
    effect = masked_set("skb_mark", 32, 0x40000, 0x40000)
    clause = "--set-xmark 0x40000/0x40000"
    use = Use("skb_mark", "write", 0x40000, CALICO_PLACE, HOST_IP, "iptables-save.txt", (3,), clause, effect)
    return Owned("u1", use, "calico", "calico/scratch0", "chain cali-PREROUTING")


def _read() -> Owned:
    test = Predicate.equals("skb_mark", 0x40000, 0xFF0000)
    use = Use("skb_mark", "read", 0xFF0000, FORWARD_PLACE, HOST_IP, "iptables-save.txt", (6, 7), "--mark 0x40000/0xff0000", predicate=test)
    return Owned("u2", use, "tailscale", None, "chain ts-forward", "medium")


def _others() -> tuple[Owned, ...]:
    kube = Place("netfilter", "iptables filter KUBE-MARK-MASQ", "ip", "legacy", "filter", "KUBE-MARK-MASQ", (Hook("forward", 0),))
    local = Place("netfilter", "iptables filter LOCAL", "ip", "legacy", "filter", "LOCAL", (Hook("forward", 0),))
    restored = Word.make(32, 0, 0, {Copied("ct_mark"): 0xFFFFFFFF}, 0)
    path = "iptables-save.txt"
    effect = masked_set("skb_mark", 32, 0x4000, 0x4000)
    uses = (
        Use("skb_mark", "write", 0x4000, kube, HOST_IP, path, (8,), "--or-mark 0x4000", effect),
        Use("skb_mark", "copy", 0xFFFFFFFF, local, HOST_IP, path, (9,), "--restore-mark", restored),
        Use("ct_mark", "read", 0xFFFFFFFF, local, HOST_IP, path, (9,), "--restore-mark"),
        Use(
            "skb_mark",
            "read",
            0xFFFFFFFF,
            local,
            HOST_IP,
            path,
            (10,),
            "! --mark 0x0",
            predicate=Predicate.equals("skb_mark", 0, 0xFFFFFFFF, True),
        ),
        Use("skb_mark", "write", 0xF00, Place("socket", "cilium bpf"), HOST_IP, "registry.toml", (), "", basis="registry"),
    )
    owners = ("kube-proxy", "unattributed:filter/LOCAL", "unattributed:filter/LOCAL", "unattributed:filter/LOCAL", "cilium")
    reserved = ("kube-proxy/masquerade", None, None, None, "cilium/magic")
    return tuple(Owned(f"u{n}", use, owner, held) for n, (use, owner, held) in enumerate(zip(uses, owners, reserved, strict=True), 3))


def collision() -> tuple[Audit, dict[str, Source]]:
    """One owner's write decides another's match; beside them one who uses the whole mark."""
    write, read, *others = _write(), _read(), *_others()
    whole = others[1]
    steered = Finding(
        "MK101",
        "error",
        "calico's write of bit 18 decides a match of tailscale, on a path that forwarded packets from pods take",
        "skb_mark",
        0x40000,
        ("calico", "tailscale"),
        (
            locate(SAVE_SOURCE, 3, "--set-xmark 0x40000/0x40000", "writer", write),
            locate(SAVE_SOURCE, 6, "--mark 0x40000/0xff0000", "reader", read),
        ),
        "set IptablesMarkMask of Felix to 0xff000000 (bits 24-31 are free on this node and in the plan); see it: nft monitor trace",
        2,
        (
            {"step": "write", "use": "u1", "place": "iptables raw cali-PREROUTING"},
            {"step": "hop", "place": "routing"},
            {"step": "read", "use": "u2", "place": "iptables filter ts-forward", "assumes": ["-i cali+ may hold"]},
        ),
        "f00d0001",
        ("f00d0002",),
    )
    copied = Finding(
        "MK203",
        "warning",
        "a restore of the whole mark",
        "skb_mark",
        0xFFFFFFFF,
        (whole.owner,),
        (locate(SAVE_SOURCE, 9, "--restore-mark", "writer", whole),),
        "give the restore a mask",
        fingerprint="f00d0002",
    )
    idle = Finding("MK304", "note", "bits 24-31 are reserved and not in use", fingerprint="f00d0003")
    node = Node(
        (Input("iptables-save.txt", "iptables-save", HOST_IP, 8, 6, 0), Input("ip-rule.txt", "ip-rule", HOST_IP, 4, 0, 0)),
        (
            Component(
                "calico", "high", ("chain cali-PREROUTING", "chain cali-OUTPUT", "chain cali-FORWARD", "ipset cali40s:x"), "before 3.30"
            ),
            Component("tailscale", "medium", ("chain ts-forward",), None, "1.96"),
        ),
        (write, read, *others),
        skipped=2,
    )
    return Audit(node, (steered, copied, idle), True, "registry.toml", "ab" * 32), {SAVE_SOURCE.path: SAVE_SOURCE}


def clean() -> tuple[Audit, dict[str, Source]]:
    """Marks are used and nothing is wrong."""
    audit, sources = collision()
    return replace(audit, node=replace(audit.node, uses=audit.node.uses[:2], skipped=0), findings=()), sources


def incomplete() -> tuple[Audit, dict[str, Source]]:
    """Two inputs were understood in part, and nothing was found in the rest."""
    audit, sources = clean()
    inputs = tuple(replace(entry, not_understood=count) for entry, count in zip(audit.node.inputs, (9, 5), strict=True))
    return replace(audit, node=replace(audit.node, inputs=inputs), complete=False), sources


def no_marks() -> tuple[Audit, dict[str, Source]]:
    """Inputs in which nothing is about marks."""
    node = Node((Input("ip-rule.txt", "ip-rule", HOST_IP, 3, 0, 0),), (), ())
    return Audit(node, (), True, "registry.toml", "ab" * 32), {}


def labels() -> tuple[Audit, dict[str, Source]]:
    """Two fields of one owner in a 128-bit field, in a zone, with a copy that shifts and values of a map."""
    flows = Source("flows.txt", b" table=8,ip actions=ct(commit,zone=5,exec(move:NXM_NX_REG0[0..15]->NXM_NX_CT_LABEL[80..95]))\n")
    place = Place("openflow", "br-int table 8", table="8", priority=100)
    scope = Scope("host", "inet", "5")
    moved = Word.make(128, 0, 0, {Copied("ct_label"): ~(0xFFFF << 80), Copied("ovs.reg0", 80): 0xFFFF << 80}, 0)
    clause = "move:NXM_NX_REG0[0..15]->NXM_NX_CT_LABEL[80..95]"
    looked_up = masked_set("ct_label", 128, 0, 0)
    uses = (
        Owned("u1", Use("ct_label", "copy", 0xFFFF << 80, place, scope, "flows.txt", (1,), clause, moved), "ovn", "ovn/acl_id"),
        Owned("u2", Use("ct_label", "write", 0x3, place, scope, "gone.txt", (7,), "set_field", looked_up, values=((1, 2),)), "ovn"),
    )
    finding = Finding(
        "MK402",
        "error",
        "acl_id and tun_if_id share bits 80-95",
        "ct_label",
        0xFFFF << 80,
        ("ovn/acl_id", "ovn/tun_if_id"),
        (locate(flows, 1, clause, "writer", uses[0]),),
        fingerprint="f00d0004",
    )
    node = Node((Input("flows.txt", "openflow", Scope(), 1, 1, 0),), (), uses)
    return Audit(node, (finding, finding), True, "registry.toml", "ab" * 32), {"flows.txt": flows}


def hostile() -> tuple[Audit, dict[str, Source]]:
    """Everything a stranger may put into a dump, in every place from which a report takes text."""
    evil = "\x1b[31m\x07\t`|``<img src=x>` @team #1 [x](y) \u202eback\u2066\u200b\x9b \udcff\r\n漢字 e\u0301 \\| "
    place = Place("netfilter", f"nft {evil}", "ip", "", evil, evil)
    use = Use("skb_mark", "write", 1, place, Scope(evil, "ip", evil), evil, (1,), evil, masked_set("skb_mark", 32, 1, 1))
    owned = Owned("u1", use, f"unattributed:{evil}", evil, evil, "low")
    at = Location("writer", owned.owner, place.text, evil, 1, 4, 9, evil, "u1")
    finding = Finding(
        "MK303",
        "note",
        f"nobody knows {evil}",
        "skb_mark",
        1,
        (owned.owner,),
        (at,),
        f"help {evil}",
        1,
        ({"step": evil, evil: [evil]},),
        evil,
    )
    node = Node((Input(evil, "nft", Scope(evil), 1, 1, 0),), (Component(evil, "low", (evil,), evil, evil),), (owned,))
    return Audit(node, (finding,), True, evil, "ab" * 32), {evil: Source(evil, evil.encode("utf-8", "surrogateescape"))}


SAMPLES = {sample.__name__: sample for sample in (collision, clean, incomplete, no_marks, labels, hostile)}
