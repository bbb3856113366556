"""An archive without names has the same findings and none of the names of ports, policies and owners."""

from __future__ import annotations

import json

from markreg.collect.anonymize import Anonymizer
from markreg.collect.captured import Capture
from markreg.formats import by_name
from markreg.model import Reading, Scope
from markreg.source import Source

ROWS = {
    "caption": "ACL table",
    "data": [
        [
            ["uuid", "00000001-0000-4000-8000-000000000001"],
            ["map", [["k8s.ovn.org/name", "shop:web"]]],
            'outport == "shop_web" && ct_mark.natted',
            "np-shop",
            42,
        ]
    ],
    "headings": ["_uuid", "external_ids", "match", "name", "label"],
}
BRIDGE = {
    "caption": "Bridge table",
    "data": [[["uuid", "00000002-0000-4000-8000-000000000002"], ["map", [["ct-zone-shop_web", "4"], ["ct-zone-lr0_snat", "5"]]], "br-int"]],
    "headings": ["_uuid", "external_ids", "name"],
}
LFLOW = (
    'Datapath: "shop" (00000003-0000-4000-8000-000000000003)  Pipeline: ingress\n'
    '  table=8 (ls_in_acl          ), priority=100  , match=(inport == "shop_web" && ct_mark.blocked == 1), '
    "action=(ct_commit { ct_mark.natted = 1; };)\n"
)
ZONES = "shop_web 4\nlr0_snat 5\n"


def capture(notation: str, text: str) -> Capture:
    return Capture("x", notation, "host", "inet", "x", text.encode())


def read(one: Capture) -> Reading:
    form = by_name(one.notation)
    assert form
    return form.read(Source("x", one.data), one.notation, Scope())


def test_names_are_gone_and_what_is_read_stays() -> None:
    hidden = Anonymizer("", lambda _: False)
    before = [capture("ovsdb", json.dumps(ROWS)), capture("ovsdb", json.dumps(BRIDGE)), capture("lflow", LFLOW), capture("ct-zones", ZONES)]
    after = [hidden.capture(one) for one in before]
    text = b"".join(one.data for one in after)
    assert not any(word in text for word in (b"shop", b"web", b"lr0"))
    for old, new in zip(before, after, strict=True):
        said = [[(u.field, u.access, u.mask, u.value, u.place) for u in read(one).uses] for one in (old, new)]
        assert said[0] == said[1]
        assert len(read(old).rows) == len(read(new).rows)
    (acl,) = read(after[0]).rows
    assert acl.number("label") == 42
    zones = {(z.number, z.name) for one in after[1:] for z in read(one).zones}
    assert len(zones) == 2, "one name is one other name throughout"
    assert any(name.endswith("_snat") for _, name in zones)
    (bridge,) = read(after[1]).rows
    assert bridge.text("name") == "br-int"


def test_what_cannot_be_understood_is_not_kept() -> None:
    hidden = Anonymizer("", lambda _: False)
    assert hidden.capture(capture("ovsdb", "shop")).data == b""


def test_ports_are_the_devices_that_rules_name() -> None:
    hidden = Anonymizer("", lambda name: name.startswith("cali"))
    rules = capture("iptables-save", "-A FORWARD -i shop0.5 -j x\n-A FORWARD -i cali1 -j x\n")
    ports = {"caption": "Interface table", "data": [["shop0.5", "internal"], ["cali1", ""]], "headings": ["name", "type"]}
    after = [hidden.capture(one).data for one in (rules, capture("ovsdb", json.dumps(ports)))]
    assert after[0] == b"-A FORWARD -i if1 -j x\n-A FORWARD -i cali1 -j x\n"
    assert json.loads(after[1])["data"] == [["if1", "internal"], ["cali1", ""]]


def test_devices_in_kernel_settings_and_links() -> None:
    hidden = Anonymizer("", lambda _: False)
    settings = capture("sysctl", "net.ipv4.conf.shop0/5.src_valid_mark = 1\nnet.ipv4.conf.all.src_valid_mark = 0\n")
    links = capture("ip-link-json", '[{"ifindex": 1, "ifname": "shop0.5", "linkinfo": {"info_kind": "vlan"}}]\n')
    assert hidden.capture(settings).data == b"net.ipv4.conf.if1.src_valid_mark = 1\nnet.ipv4.conf.all.src_valid_mark = 0\n"
    assert [d.name for d in read(hidden.capture(links)).devices] == ["if1"]
