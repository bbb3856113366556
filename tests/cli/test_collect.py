"""`markreg collect` without a node: what is in an archive, what is not, and what becomes of names and addresses."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from markreg.collect import archive, namespaces
from markreg.collect.anonymize import Anonymizer
from markreg.collect.captured import Capture, Failure
from markreg.collect.isolated import IsolatedError, call
from markreg.collect.limits import Budget
from markreg.inputs import gather
from tests.cli.running import COLLIDES, markreg

ABOUT = archive.About("0.1.0", "node7", "2026-01-01T00:00:00Z", False)
CAPTURES = (
    Capture("iptables-nft-save", "iptables-save", "host", "ip", "", COLLIDES),
    Capture("ip rule", "ip-rule", "host", "ip", "", b"100:\tfrom all fwmark 0x40000/0xff0000 lookup 52\n"),
    Capture("ip rule (netns a/b c)", "ip-rule", "a/b c", "ip", "", b""),
    Capture("ip rule (netns a_b_c)", "ip-rule", "a_b_c", "ip", "", b""),
)
FAILURES = (Failure("WireGuard", "wg is not installed"),)


def unpacked(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar}  # type: ignore[union-attr]


class TestArchive:
    def test_it_gives_back_what_was_captured(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(archive.pack(CAPTURES, FAILURES, ABOUT))
        found = gather([str(tmp_path / "a")], io.BytesIO())
        assert [(k.source.data, k.name, k.scope.netns, k.scope.family) for k in found.known] == [
            (c.data, c.notation, c.netns, c.family) for c in CAPTURES
        ]
        assert [(p.path, p.message) for p in found.unread] == [(f.name, f.why) for f in FAILURES]
        assert (found.problems, found.skipped) == ([], 0)

    def test_its_names_are_names_of_files_and_each_once(self) -> None:
        names = list(unpacked(archive.pack(CAPTURES, FAILURES, ABOUT)))
        assert names[0] == "markreg-collect/manifest.json"
        assert len(set(names)) == len(CAPTURES) + 1
        assert all(re.fullmatch(r"markreg-collect/[\w.-]+", name) for name in names)

    def test_the_same_captures_are_the_same_bytes(self) -> None:
        assert archive.pack(CAPTURES, FAILURES, ABOUT) == archive.pack(CAPTURES, FAILURES, ABOUT)

    def test_only_its_owner_reads_it_and_it_is_whole_or_not_there(self, tmp_path: Path) -> None:
        target = tmp_path / "node.tar.gz"
        target.write_bytes(b"old")
        target.chmod(0o644)
        archive.save(target, b"new")
        assert (target.read_bytes(), target.stat().st_mode & 0o777) == (b"new", 0o600)
        assert [p.name for p in tmp_path.iterdir()] == ["node.tar.gz"]
        with pytest.raises(FileNotFoundError):
            archive.save(tmp_path / "none" / "node.tar.gz", b"new")


TEXT = b"""-A PREROUTING -s 10.1.2.3/32 -d 10.1.2.0/24 -i corp0 -m mac --mac-source 52:54:00:aa:bb:cc -j MARK --set-xmark 0x40000/0x40000
-A cali-PREROUTING -i cali1234abcd -o cali+ -m comment --comment "cali:6gwbT8clXdHdC1b1" -j MARK --set-xmark 0x40000/0xf0000
-A X -d 255.255.255.0/255.255.255.0 -s 127.0.0.1/32 -d 2001:db8:1::7/128 -i eth0 -o corp0 -j RETURN
100: from 10.1.2.3 fwmark 0x40000/0xff0000 iif corp0 lookup 52
table inet fw { chain c { iifname "corp0" ip saddr 10.1.2.3 meta mark set 0x1 comment "seen on node7" } }
{"attached":[{"hook":"tc","direction":"ingress","device":"corp0","priority":1}]}
"""
HIDDEN = (b"10.1.2.3", b"10.1.2.0", b"corp0", b"52:54:00", b"db8:1::7", b"node7")
KEPT = (b"0x40000/0xf0000", b"cali-PREROUTING", b"cali1234abcd", b"cali+", b"cali:6gwbT8clXdHdC1b1", b"lookup 52", b"127.0.0.1/32")


class TestAnonymous:
    def made(self) -> Anonymizer:
        return Anonymizer("node7", lambda name: name.startswith("cali"))

    def test_names_and_addresses_go_and_what_says_who_wrote_a_rule_stays(self) -> None:
        data = self.made().text(TEXT)
        assert not [word for word in HIDDEN if word in data]
        assert not [word for word in KEPT if word not in data]
        assert b"255.255.255.0/255.255.255.0" in data
        assert b"-i eth0" in data

    def test_one_name_is_one_other_everywhere(self) -> None:
        mapped = self.made()
        first = mapped.text(TEXT)
        assert mapped.text(TEXT) == first
        assert first.count(b"if1") == TEXT.count(b"corp0")
        address = re.search(rb"from (\S+) fwmark", first)
        assert address
        assert first.count(address[1]) == TEXT.count(b"10.1.2.3")
        assert mapped.text(b"-s 10.9.9.9/32").split()[1] not in first

    def test_namespaces(self) -> None:
        mapped = self.made()
        one = mapped.capture(Capture("ip rule (netns shop)", "ip-rule", "shop", "ip", "", b""))
        assert (one.name, one.netns) == ("ip rule (netns netns1)", "netns1")
        assert mapped.failure(Failure("netns shop", "no")).name == "netns netns1"
        assert mapped.namespace("host") == "host"

    def test_the_findings_are_the_same(self, tmp_path: Path) -> None:
        """A rule that is anonymous is the same rule."""
        plain = COLLIDES.replace(b"-A PREROUTING -j", b"-A PREROUTING -s 10.1.2.3/32 -i corp0 -j")
        captures = [Capture("iptables-nft-save", "iptables-save", "host", "ip", "", plain)]
        said = []
        for number, ones in enumerate((captures, [self.made().capture(c) for c in captures])):
            (tmp_path / f"{number}.tar.gz").write_bytes(archive.pack(ones, (), ABOUT))
            said.append(json.loads(markreg("audit", f"{number}.tar.gz", "--format", "json", cwd=tmp_path).stdout)["findings"])
        assert said[0]
        assert [(f["code"], f["mask"], f["owners"]) for f in said[0]] == [(f["code"], f["mask"], f["owners"]) for f in said[1]]


def refuses(function: Callable[[], bytes], budget: Budget) -> str:
    with pytest.raises(IsolatedError) as error:
        call(function, budget)
    return str(error.value)


class TestChild:
    def test_it_gives_what_the_function_gives(self) -> None:
        assert call(lambda: b"x" * 1_000_000, Budget()) == b"x" * 1_000_000

    def test_what_goes_wrong_there_is_said_here(self) -> None:
        def wrong() -> bytes:
            raise ValueError("on purpose")

        def dies() -> bytes:
            import os
            import signal

            os.kill(os.getpid(), signal.SIGKILL)
            return b""

        def waits() -> bytes:
            import time

            time.sleep(30)
            return b""

        assert refuses(wrong, Budget()) == "on purpose"
        assert refuses(dies, Budget()) == "it ended before it was done"
        assert "0.2 seconds" in refuses(waits, Budget(seconds=0.2))
        assert "more than" in refuses(lambda: bytes(1 << 20), Budget(size=1 << 10))

    def test_a_namespace_that_is_none(self) -> None:
        for word in ("no-such-namespace", "/no/such/file", "99999999"):
            with pytest.raises(namespaces.NamespaceError, match=re.escape(word)):
                namespaces.named(word)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "--output"),
        (("-o", "none/node.tar.gz"), "none/node.tar.gz"),
        (("-o", "x", "--netns", "no-such-namespace"), "no-such-namespace"),
        (("-o", "x", "--netns", "a", "--all-netns"), "exclude each other"),
        (("-o", "x", "--timeout", "0"), "--timeout"),
    ],
)
def test_words_that_mean_nothing_are_exit_2(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    done = markreg("collect", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert not list(tmp_path.iterdir())


def test_namespaces_are_of_this_node(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(COLLIDES)
    for option in (("--netns", "x"), ("--all-netns",)):
        done = markreg("audit", "a.txt", *option, cwd=tmp_path)
        assert (done.returncode, "of this node" in done.stderr) == (2, True)
