"""Where programs are attached, as netlink and bpf(2) say it, without a node."""

from __future__ import annotations

import errno
import os
import platform
import struct
from collections.abc import Callable

import pytest

from markreg.collect import bpf, bpf_attached, bpf_programs, bpf_syscall, tools
from markreg.collect.bpf_attached import Attachment
from markreg.collect.bpf_programs import Program
from markreg.collect.limits import Budget

CLSACT = {1: b"clsact\0"}


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", len(value) + 4, kind) + value + bytes(-len(value) % 4)


def number(value: int) -> bytes:
    return struct.pack("=I", value)


class TestTrafficControl:
    def found(self, monkeypatch: pytest.MonkeyPatch, kind: bytes, options: bytes, more: dict[int, bytes] | None = None) -> list[Attachment]:
        def dump(command: int, answer: int, index: int, parent: int, budget: Budget) -> list[tuple[int, int, int, dict[int, bytes]]]:
            if command == 38:
                return [(2, 0, 0, CLSACT)]
            return [(2, 0, 5 << 16, {1: kind + b"\0", 2: options} | (more or {}))] if parent == 0xFFFFFFF2 else []

        monkeypatch.setattr(bpf_attached, "_dump", dump)
        monkeypatch.setattr(bpf_attached, "_query", lambda target, attach: ())
        monkeypatch.setattr("socket.if_nameindex", lambda: [(2, "eth0")])
        return list(bpf_attached.devices(Budget()))

    def test_a_classifier(self, monkeypatch: pytest.MonkeyPatch) -> None:
        options = attribute(7, b"a.o:[tc]\0") + attribute(11, number(77))
        assert self.found(monkeypatch, b"bpf", options) == [Attachment(77, "tc", "ingress", "eth0", 5)]

    def test_one_in_a_chain(self, monkeypatch: pytest.MonkeyPatch) -> None:
        options = attribute(11, number(77))
        assert self.found(monkeypatch, b"bpf", options, {11: number(3)}) == [Attachment(77, "tc", "ingress", "eth0", 3 * 65536 + 5)]

    def test_one_of_classic_bpf_has_no_program(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.found(monkeypatch, b"bpf", attribute(5, bytes(8))) == []

    @pytest.mark.parametrize(("kind", "place"), [(b"u32", 7), (b"flower", 3), (b"matchall", 2), (b"bpf", 1)])
    def test_an_action_of_a_filter(self, monkeypatch: pytest.MonkeyPatch, kind: bytes, place: int) -> None:
        action = attribute(1, b"bpf\0") + attribute(0x8000 | 2, attribute(2, bytes(20)) + attribute(9, number(78)))
        other = attribute(1, b"gact\0") + attribute(2, attribute(9, number(79)))
        options = attribute(place, attribute(1, other) + attribute(2, action))
        assert self.found(monkeypatch, kind, options) == [Attachment(78, "tc", "ingress", "eth0", 5)]

    def test_attributes_that_lie_about_their_size(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.found(monkeypatch, b"bpf", struct.pack("=HH", 0, 11) + struct.pack("=HH", 60000, 7)) == []


def test_the_order_of_tcx_and_netkit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bpf_attached, "_dump", lambda *_: [])
    monkeypatch.setattr("socket.if_nameindex", lambda: [(2, "eth0"), (3, "nk0")])
    monkeypatch.setattr(bpf_attached, "_query", lambda target, attach: {(2, 46): (9, 4), (3, 55): (5,)}.get((target, attach), ()))
    assert list(bpf_attached.devices(Budget())) == [
        Attachment(9, "tcx", "ingress", "eth0", 0),
        Attachment(4, "tcx", "ingress", "eth0", 1),
        Attachment(5, "netkit", "peer", "nk0", 0),
    ]


def failing(code: int) -> Callable[..., tuple[int, bytes]]:
    def call(*_: object) -> tuple[int, bytes]:
        raise OSError(code, os.strerror(code))

    return call


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENXIO, errno.ENODEV])
def test_a_kernel_or_device_without_such_a_place(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    monkeypatch.setattr(bpf_syscall, "call", failing(code))
    assert bpf_attached._query(2, 46) == ()


def test_a_cgroup_program_is_attached_also_where_cgroups_cannot_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bpf_attached, "mounted", lambda kind: [])
    programs = [Program(1, "cgroup_skb", "a", "", ()), Program(2, "sched_cls", "b", "", ())]
    assert list(bpf_attached.cgroups(programs, Budget())) == [Attachment(1, "cgroup", "", "", 0)]


class TestStep:
    def unread(self) -> list[str]:
        node = tools.Live(5)
        bpf.read(node)
        assert not node.captures
        return [f"{f.name}: {f.why}" for f in node.failures]

    def test_a_kernel_without_bpf_has_no_programs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(bpf_syscall, "call", failing(errno.ENOSYS))
        assert self.unread() == []

    def test_who_may_not_ask_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(bpf_syscall, "call", failing(errno.EPERM))
        assert self.unread() == ["bpf programs: Operation not permitted; this takes root (CAP_SYS_ADMIN)"]

    def test_a_machine_whose_call_is_not_known(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(platform, "machine", lambda: "vax")
        assert self.unread() == ["bpf programs: the number of the system call bpf on vax is not known"]

    def test_programs_that_can_have_no_mark_are_no_matter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(bpf_programs, "programs", lambda most: [Program(1, "", "trace", "", ())])
        monkeypatch.setattr(bpf_attached, "devices", lambda budget: pytest.fail("asked"))
        assert self.unread() == []

    def test_a_program_on_routes_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(bpf_programs, "programs", lambda most: [Program(7, "lwt_xmit", "encap", "", ())])
        monkeypatch.setattr(bpf_attached, "devices", lambda budget: [])
        assert self.unread() == ["BPF program id 7 (lwt_xmit encap): the kernel does not say on which routes it is"]

    def test_a_program_whose_instructions_are_kept_secret_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(bpf_programs, "programs", lambda most: [Program(n, "sched_cls", "p", "", ()) for n in range(1, 6)])
        monkeypatch.setattr(bpf_attached, "devices", lambda budget: [Attachment(n, "tc", "ingress", "eth0", 1) for n in range(1, 6)])
        monkeypatch.setattr(bpf_programs, "code", failing(errno.EPERM))
        shown = "BPF programs id 1 (sched_cls p), id 2 (sched_cls p), id 3 (sched_cls p) and 2 more"
        assert self.unread() == [f"{shown}: Operation not permitted; this takes root (CAP_NET_ADMIN)"]
