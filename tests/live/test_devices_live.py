"""What a live node says of its devices and kernel settings: as ip prints it in each of its forms, whatever else is captured."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator

import pytest

from markreg.collect import isolated, kernel, sysctls, tunnels
from markreg.collect.limits import Budget
from markreg.collect.tools import Live
from markreg.formats import by_name, detect
from markreg.model import Reading, Scope
from markreg.source import Source
from tests.live.test_live import inside, run

pytestmark = pytest.mark.oracle

FORMS = (("link",), ("addr",), ("-s", "link"), ("-o", "link"), ("-j", "link"), ("-j", "-p", "addr"))
KINDS = {"vx0": "vxlan", "vx1": "vxlan", "va": "veth", "vb": "veth", "br0": "bridge", "tn0": "tun"}


@pytest.fixture(scope="module")
def netns() -> Iterator[str]:
    name = f"markreg-devices-{os.getpid()}-{random.SystemRandom().randrange(1 << 32):08x}"
    run("ip", "netns", "add", name)
    try:
        for words in (
            "link add vx0 type vxlan id 5 dstport 4789",
            "link add vx1 type vxlan external dstport 4790",
            "link add va type veth peer name vb",
            "link add br0 type bridge",
            "link set va master br0 alias fwmark",
            "tuntap add tn0 mode tun",
        ):
            inside(name, "ip", *words.split())
        yield name
    finally:
        run("ip", "netns", "delete", name)


def captured(netns: str, part: str) -> tuple[str, str]:
    """The notation and the text of what one part of the collector captures in a namespace."""

    def work() -> bytes:
        node = Live(30)
        {"tunnels": tunnels, "sysctls": sysctls}[part].read(node)
        assert not node.failures
        (one,) = node.captures
        return json.dumps([one.notation, one.data.decode()]).encode()

    notation, text = json.loads(isolated.call(work, Budget(30), f"/run/netns/{netns}"))
    return notation, text


def read(text: str) -> Reading:
    source = Source("x", text.encode())
    found = detect(source)
    assert found
    reading = found[0].read(source, found[1], Scope())
    assert (reading.opaque, reading.problems) == ((), ())
    return reading


@pytest.mark.parametrize("words", FORMS, ids=" ".join)
def test_every_form_shows_every_device(netns: str, words: tuple[str, ...]) -> None:
    kinds = {d.name: d.kind for d in read(inside(netns, "ip", "-d", *words)).devices}
    assert {name: kinds[name] for name in KINDS} == KINDS
    assert kinds["lo"] == ""


def test_the_collector_captures_them_all(netns: str) -> None:
    notation, text = captured(netns, "tunnels")
    there = read(text)
    assert by_name(notation) is by_name(there.format)
    assert {d.name: d.kind for d in there.devices} == {d.name: d.kind for d in read(inside(netns, "ip", "-d", "link")).devices}


def test_settings_are_told_on_and_off(netns: str) -> None:
    notation, text = captured(netns, "sysctls")
    assert notation == "sysctl"
    there = {s.name: s.value for s in read(text).sysctls}
    assert there["net.ipv4.fwmark_reflect"] == there["net.ipv4.conf.all.src_valid_mark"] == 0
    assert "net.ipv4.conf.vx0.src_valid_mark" not in there
    inside(netns, "sysctl", "-qw", "net.ipv4.conf.vx0.src_valid_mark=1", "net.ipv4.fwmark_reflect=1")
    there = {s.name: s.value for s in read(captured(netns, "sysctls")[1]).sysctls}
    assert there["net.ipv4.fwmark_reflect"] == there["net.ipv4.conf.vx0.src_valid_mark"] == 1


def test_without_br_netfilter_no_bridged_packet_meets_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is the answer where there is one; where there is none, that nothing of the kernel could read it."""
    names = [name.replace("/", ".") for name in sysctls._BRIDGES]
    shown = {n: v for n, v in sysctls._values() if n in names}
    for loaded, expected in ((False, dict.fromkeys(names, "0")), (True, {})):
        monkeypatch.setattr(kernel, "module", lambda _, loaded=loaded: loaded)
        assert {n: v for n, v in sysctls._values() if n in names} == (shown or expected)
        with monkeypatch.context() as missing:
            missing.setattr(sysctls, "_ROOT", sysctls._ROOT / "nowhere")
            assert dict(sysctls._values()) == expected
