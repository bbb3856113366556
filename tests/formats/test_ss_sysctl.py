"""Marks that sockets have now, and the settings about marks."""

from __future__ import annotations

import pytest

from markreg.formats import by_name, detect
from markreg.model import Scope
from markreg.source import Source

SOCKETS = b"""State  Recv-Q Send-Q Local Address:Port  Peer Address:Port Process
LISTEN 0      128        127.0.0.1:36001      0.0.0.0:*    uid:0 ino:1 sk:1 fwmark:0x77 <->
ESTAB  0      0          127.0.0.1:36002    127.0.0.1:36001 ino:2 sk:2 fwmark:0x77 <->
UNCONN 0      0              [::1]:53            [::]:*    ino:3 sk:3 <->
LISTEN 0      128             *:80                 *:*    ino:4 fwmark:0x1ffffffff <->
"""
SETTINGS = b"net.ipv4.fwmark_reflect = 1\nnet.ipv4.conf.eth0/7.src_valid_mark = 0\nnet.bridge.bridge-nf-call-iptables = 1\n"


def test_marks_of_sockets() -> None:
    source = Source("ss.txt", SOCKETS)
    found = detect(source)
    assert found
    reading = found[0].read(source, found[1], Scope())
    assert [(s.field, s.value, s.count, s.line) for s in reading.seen] == [("skb_mark", 0x77, 2, 2)]
    assert [o.lines for o in reading.opaque] == [(5,)]
    assert (found[1], reading.statements, reading.mark_statements) == ("ss", 4, 3)


def test_settings() -> None:
    source = Source("sysctl.txt", SETTINGS)
    found = detect(source)
    assert found
    reading = found[0].read(source, found[1], Scope())
    assert (found[1], reading.statements, reading.mark_statements) == ("sysctl", 3, 1)


@pytest.mark.parametrize("name", ["ss", "sysctl"])
@pytest.mark.parametrize("data", [b"", b"\0" * 100, b"fwmark:", b"net. = ", bytes(range(256)) * 20])
def test_anything_is_read_without_a_fault(name: str, data: bytes) -> None:
    form = by_name(name)
    assert form
    form.detect(Source("x", data))
    form.read(Source("x", data), name, Scope())


def test_settings_have_values_on_or_off() -> None:
    text = b"net/ipv6/fwmark_reflect = 0\nnet.ipv4.tcp_mem = 1 2 3\nnet/ipv4/conf/eth0.7/src_valid_mark = 1\n"
    text += b"net.bridge.bridge-nf-call-iptables =\n"
    found = by_name("sysctl")
    assert found
    read = [found.read(Source("x", data), "sysctl", Scope("blue")).sysctls for data in (b"\n" + SETTINGS, text)]
    assert [(s.name, s.value, s.line) for s in read[0]] == [
        ("net.ipv4.fwmark_reflect", 1, 2),
        ("net.ipv4.conf.eth0/7.src_valid_mark", 0, 3),
        ("net.bridge.bridge-nf-call-iptables", 1, 4),
    ]
    assert [(s.netns, s.name, s.value) for s in read[1]] == [
        ("blue", "net.ipv6.fwmark_reflect", 0),
        ("blue", "net.ipv4.conf.eth0/7.src_valid_mark", 1),
    ]
