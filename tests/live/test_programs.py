"""Running the node's programs, and finding out what the kernel has, without a node."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from markreg.collect import kernel, nftables, programs, rulesets, tools
from markreg.collect.limits import Budget
from markreg.collect.programs import Output, run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder with programs."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(programs, "_PLACES", ())
    return tmp_path


def program(folder: Path, name: str, script: str) -> None:
    file = folder / name
    file.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
    file.chmod(0o755)


def test_what_a_program_prints(folder: Path) -> None:
    program(folder, "tool", 'echo out "$1"; echo err >&2')
    assert run(("tool", "a b"), Budget()) == Output(b"out a b\n", "err", "")


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("echo first >&2; echo last >&2; exit 3", "last"),
        ("exit 3", "tool exited with 3"),
        ("kill -9 $$", "tool exited with -9"),
    ],
)
def test_a_program_that_fails(folder: Path, script: str, error: str) -> None:
    program(folder, "tool", script)
    assert run(("tool",), Budget()).error == error


def test_a_program_that_is_not_there_or_cannot_be_run(folder: Path) -> None:
    assert run(("tool",), Budget()).error == "tool is not installed"
    (folder / "tool").write_text("no program")
    (folder / "tool").chmod(0o755)
    assert run(("tool",), Budget()).error == "tool: Exec format error"


@pytest.mark.parametrize("script", ["exec sleep 30", "exec >&- 2>&-; exec sleep 30", "while :; do echo x >&2; done"])
def test_time_is_limited(folder: Path, script: str) -> None:
    program(folder, "tool", script)
    started = time.monotonic()
    done = run(("tool",), Budget(seconds=0.4))
    assert time.monotonic() - started < 5
    assert "0.4 seconds" in done.error
    assert done.data == b""
    budget = Budget(seconds=0)
    program(folder, "quick", "echo x")
    assert run(("quick",), budget).error


def test_output_is_limited_over_all_programs(folder: Path) -> None:
    program(folder, "tool", "head -c 700000 /dev/zero")
    budget = Budget(size=1 << 20)
    assert len(run(("tool",), budget).data) == 700000
    done = run(("tool",), budget)
    assert "more than" in done.error
    assert done.data == b""


def test_programs_get_nothing_of_the_environment_but_the_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XTABLES_LIBDIR", "/evil")
    program(folder, "tool", 'echo "$XTABLES_LIBDIR:$LC_ALL"; cat')
    assert run(("tool",), Budget()).data == b":C\n"


@pytest.mark.parametrize(
    ("programs_there", "backend", "chosen"),
    [
        ({"iptables-nft-save": "x", "iptables-save": "v1.8.9 (legacy)"}, "nft", "iptables-nft-save"),
        ({"iptables-save": "v1.8.9 (nf_tables)"}, "nft", "iptables-save"),
        ({"iptables-save": "v1.8.9 (nf_tables)"}, "legacy", "iptables-legacy-save"),
        ({"iptables-save": "v1.8.9 (legacy)"}, "nft", "iptables-nft-save"),
        ({"iptables-save": "v1.6.1"}, "legacy", "iptables-save"),
        ({}, "nft", "iptables-nft-save"),
    ],
)
def test_the_program_of_a_backend(folder: Path, programs_there: dict[str, str], backend: str, chosen: str) -> None:
    """The plain program is taken only if it says that it is of this backend: the other one could make tables."""
    for name, version in programs_there.items():
        program(folder, name, f'[ "$1" = -V ] && echo "{name} {version}"')
    assert tools._backend("iptables", backend, Budget()) == (chosen,)


class TestKernel:
    def fake(self, monkeypatch: pytest.MonkeyPatch, files: dict[str, str | OSError]) -> None:
        def read(path: Path, *_: object, **__: object) -> str:
            content = next((v for k, v in files.items() if str(path).startswith(k)), FileNotFoundError(2, "none"))
            if isinstance(content, OSError):
                raise content
            return content

        monkeypatch.setattr(Path, "read_text", read)

    def test_a_kernel_without_modules_can_load_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fake(monkeypatch, {})
        assert kernel.module("nf_tables")

    def test_a_loaded_module(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fake(monkeypatch, {"/proc/modules": "nf_tables 372736 903 nft_compat, Live 0x0\nxt_mark 1 0 - Live 0x0\n"})
        assert kernel.module("nf_tables")

    def test_one_that_is_built_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fake(monkeypatch, {"/proc/modules": "ext4 1 0 - Live 0x0\n", "/lib/modules/": "kernel/net/netfilter/nf_tables.ko\n"})
        assert kernel.module("nf_tables")

    def test_one_that_is_only_on_disk_is_not_asked_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fake(monkeypatch, {"/proc/modules": "nf_tables_other 1 0 - Live 0x0\n", "/lib/modules/": "kernel/fs/ext4/ext4.ko\n"})
        assert not kernel.module("nft_compat")
        monkeypatch.setattr(nftables, "tables", lambda budget: pytest.fail("asked"))
        monkeypatch.setattr(kernel, "netlink", lambda protocol: True)
        monkeypatch.setattr(kernel, "module", lambda name: False)
        node = tools.Live(1)
        node.nft()
        assert not node.gathered.known
        assert not node.gathered.unread

    def test_without_nft_compat_iptables_is_not_asked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It would load the module to learn the revisions of extensions; such tables are nft's own."""
        monkeypatch.setattr(kernel, "netlink", lambda protocol: True)
        monkeypatch.setattr(kernel, "module", lambda name: name == "nf_tables")
        monkeypatch.setattr(nftables, "tables", lambda budget: (("ip", "filter"), ("inet", "fw")))
        monkeypatch.setattr(tools, "run", lambda words, budget: pytest.fail(f"ran {words}"))
        asked: list[tuple[str, ...]] = []
        monkeypatch.setattr(rulesets, "read", lambda node, tables: asked.append(tuple(tables)))
        node = tools.Live(1)
        node.nft()
        assert [k.source.path for k in node.gathered.known] == ["ip6tables-nft-save"]
        assert asked == [("inet fw", "ip filter")]

    def test_legacy_tables_are_not_asked_for_where_there_are_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fake(monkeypatch, {"/proc/net/ip_tables_names": "", "/proc/net/ip6_tables_names": ""})
        monkeypatch.setattr(tools, "run", lambda words, budget: pytest.fail(f"ran {words}"))
        node = tools.Live(1)
        node.legacy()
        assert not node.gathered.known
        assert not node.gathered.unread

    def test_where_that_may_not_be_known_it_is_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fake(monkeypatch, {"/proc/net/": PermissionError(13, "Permission denied")})
        node = tools.Live(1)
        node.legacy()
        assert [p.path for p in node.gathered.unread] == ["iptables-legacy-save", "ip6tables-legacy-save"]
        assert all("takes root" in p.message for p in node.gathered.unread)

    def test_a_protocol_of_netlink(self, monkeypatch: pytest.MonkeyPatch) -> None:
        head = "sk Eth Pid Groups\n"
        self.fake(monkeypatch, {"/proc/net/netlink": f"{head}0 0 0 0\n0 6 4711 0\n0 12 0 0\n"})
        assert kernel.netlink(12)
        assert not kernel.netlink(6), "a program's socket, not the kernel's"
