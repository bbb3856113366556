"""Archives and folders of captures: what is read of them, what is left alone, and that no archive can do harm."""

from __future__ import annotations

import io
import json
import stat
import tarfile
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from markreg.archives import held, layouts, limits, manifest, streams, tar
from markreg.inputs import Gathered, gather
from markreg.resources import rules
from tests.support import SHARED, needs_shared

SAVE = b"*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j MARK --set-xmark 0x40000/0x40000\nCOMMIT\n"
SAVE6 = SAVE.replace(b"0x40000", b"0x80000")
RULE = b"0:\tfrom all lookup local\n100:\tfrom all fwmark 0x40000/0x40000 lookup 100\n32766:\tfrom all lookup main\n"
LINK = b"1: lo: <LOOPBACK,UP> mtu 65536 qdisc noqueue state UNKNOWN mode DEFAULT group default\n    link/loopback 00:00:00:00:00:00\n"
SETTINGS = b"abi.vsyscall32 = 1\nnet.ipv4.fwmark_reflect = 0\n"
NODE = {"iptables-save.txt": SAVE, "ip-rule.txt": RULE, "notes.txt": b"to whom it may concern\n"}
PACKED = {"plain": "w", "gzip": "w:gz", "bzip2": "w:bz2", "xz": "w:xz"}
FORMATS = {"pax": tarfile.PAX_FORMAT, "gnu": tarfile.GNU_FORMAT, "ustar": tarfile.USTAR_FORMAT}


def packed(files: Mapping[str, bytes], how: str = "gzip", form: int = tarfile.PAX_FORMAT) -> bytes:
    data = io.BytesIO()
    if how == "zip":
        with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as zipped:
            for name, content in files.items():
                zipped.writestr(name, content)
        return data.getvalue()
    with tarfile.open(fileobj=data, mode=PACKED[how], format=form) as made:  # type: ignore[call-overload]
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            made.addfile(entry, io.BytesIO(content))
    return data.getvalue()


def written(tmp_path: Path, files: Mapping[str, bytes], root: str = "node") -> Path:
    for name, content in files.items():
        path = tmp_path / root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / root


def read(tmp_path: Path, data: bytes, name: str = "node.tar.gz") -> Gathered:
    (tmp_path / name).write_bytes(data)
    return gather([str(tmp_path / name)], io.BytesIO())


def said(gathered: Gathered, below: Path | str = "") -> list[tuple[str, ...]]:
    """Name below the archive or folder, notation, namespace and family of all that is read."""
    known = [(k.source.path, k.name, k.scope.netns, k.scope.family) for k in gathered.known]
    return sorted((p.removeprefix(str(below)).lstrip("/"), *rest) for p, *rest in known)


@pytest.mark.parametrize("how", [*PACKED, "zip"])
@pytest.mark.parametrize("prefix", ["", "node7/", "./"])
def test_an_archive_is_what_its_folder_is(tmp_path: Path, how: str, prefix: str) -> None:
    folder = gather([str(written(tmp_path, NODE))], io.BytesIO())
    found = read(tmp_path, packed({prefix + name: data for name, data in NODE.items()}, how))
    below = prefix.replace("./", "")
    assert said(found, tmp_path / "node.tar.gz" / below) == said(folder, tmp_path / "node")
    assert (found.problems, found.skipped, folder.skipped) == ([], 1, 1)
    assert sorted(k.source.data for k in found.known) == sorted([SAVE, RULE])


def test_an_archive_from_standard_input() -> None:
    assert said(gather(["-"], io.BytesIO(packed(NODE))))[0][:2] == ("-/ip-rule.txt", "ip-rule")


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
def test_long_names_and_odd_ones(tmp_path: Path, form: int) -> None:
    long = "d" * 90 + "/" + "ip-rule-" + "n" * 80 + ".txt"
    assert said(read(tmp_path, packed({long: RULE}, form=form)), tmp_path / "node.tar.gz") == [(long, "ip-rule", "host", "inet")]
    if form != tarfile.USTAR_FORMAT:
        longer = "ip-rule-" + "ü" * 300 + ".txt"
        assert [row[0] for row in said(read(tmp_path, packed({longer: RULE}, form=form)), tmp_path / "node.tar.gz")] == [longer]


def test_links_devices_and_names_that_lead_out_are_harmless(tmp_path: Path) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as made:
        for name, kind in (("a", tarfile.SYMTYPE), ("b", tarfile.LNKTYPE), ("c", tarfile.CHRTYPE), ("d", tarfile.FIFOTYPE)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "/etc/passwd"
            made.addfile(entry)
        for name in ("../evil.txt", "x/../../evil.txt", "/ip-rule.txt", "iptables-save.txt"):
            content = RULE if "rule" in name else SAVE
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            made.addfile(entry, io.BytesIO(content))
    before = sorted(tmp_path.parent.rglob("*"))
    found = read(tmp_path, data.getvalue())
    assert [row[0] for row in said(found, tmp_path / "node.tar.gz")] == ["ip-rule.txt", "iptables-save.txt"]
    assert sorted(set(tmp_path.parent.rglob("*")) - set(before)) == [tmp_path / "node.tar.gz"]


def test_links_in_a_zip(tmp_path: Path) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as zipped:
        link = zipfile.ZipInfo("ip-rule.txt")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        zipped.writestr(link, "/etc/passwd")
        zipped.writestr("iptables-save.txt", SAVE)
    assert len(read(tmp_path, data.getvalue()).known) == 1


@pytest.mark.parametrize("how", [*PACKED, "zip"])
def test_what_is_cut_off_is_said_wherever_it_is(tmp_path: Path, how: str) -> None:
    whole = packed({"iptables-save.txt": SAVE * 200, "ip-rule.txt": RULE}, how)
    for size in range(0, len(whole), max(1, len(whole) // 60)):
        found = read(tmp_path, whole[:size])
        assert found.problems or len(found.known) == 2


@pytest.mark.parametrize("how", [*PACKED, "zip"])
def test_what_is_corrupt_never_raises(tmp_path: Path, how: str) -> None:
    whole = packed({"iptables-save.txt": SAVE, "ip-rule.txt": RULE}, how)
    for at in range(0, len(whole), max(1, len(whole) // 150)):
        read(tmp_path, whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])


def test_zstd_is_read_or_refused_with_the_reason(tmp_path: Path) -> None:
    found = read(tmp_path, b"\x28\xb5\x2f\xfd" + bytes(600), "node.tar.zst")
    assert not found.known
    assert "zstd" in found.problems[0].message or "corrupt" in found.problems[0].message


def test_one_packed_file_is_no_archive(tmp_path: Path) -> None:
    import gzip

    assert "holds no tar archive" in read(tmp_path, gzip.compress(SAVE * 100)).problems[0].message


@pytest.mark.parametrize("how", ["gzip", "zip"])
def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    files = {f"{n}.txt": SAVE for n in range(30)}
    monkeypatch.setattr(streams, "MEMBERS", 10)
    found = read(tmp_path, packed(files, how))
    assert (len(found.known), found.problems[0].message) == (10, "holds more than 10 files")
    monkeypatch.undo()
    monkeypatch.setattr(streams, "TOTAL", 3000)
    assert "holds more than" in read(tmp_path, packed({"a.txt": bytes(1 << 20), **files}, how)).problems[0].message
    monkeypatch.undo()
    monkeypatch.setattr(held, "KEPT", 500)
    assert "captures of more than" in read(tmp_path, packed(files, how)).problems[0].message
    monkeypatch.undo()
    for module in (held, limits):
        monkeypatch.setattr(module, "MEMBER", 2000)
    found = read(tmp_path, packed({"big.txt": SAVE * 100, "ip-rule.txt": RULE}, how))
    assert len(found.known) == 1
    assert "is larger than" in found.problems[0].message


def test_a_bomb_costs_no_memory() -> None:
    """A header that promises a name of gigabytes is refused before it is read."""
    header = bytearray(tarfile.TarInfo("x").tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"77777777777\0"
    header[156:157] = b"L"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    asked = []

    def gives(size: int) -> bytes:
        asked.append(size)
        return bytes(header) if len(asked) == 1 else b"x" * size

    with pytest.raises(limits.ArchiveError, match="longer than any"):
        list(tar.members(gives, lambda size: None))
    assert max(asked) == tar.BLOCK


def test_several_nodes_are_not_taken_for_one(tmp_path: Path) -> None:
    found = read(tmp_path, packed({"a/iptables-save.txt": SAVE, "b/iptables-save.txt": SAVE}))
    assert not found.known
    assert "2 folders (a, b)" in found.problems[0].message
    bugtool = "cilium-bugtool-cilium-{}-20260101/cmd/iptables-save--c.md"
    found = read(tmp_path, packed({bugtool.format("x"): SAVE, bugtool.format("y"): SAVE}))
    assert not found.known
    assert "2 nodes" in found.problems[0].message


def test_an_archive_of_nothing(tmp_path: Path) -> None:
    assert "holds no tar archive" in read(tmp_path, packed({})).problems[0].message
    deep = packed({"a/b/c.txt": SAVE, "a/b/d.txt": SAVE})
    assert "nothing that markreg reads (2 files)" in read(tmp_path, deep).problems[0].message
    assert "nothing that markreg reads (1 files)" in read(tmp_path, packed({"notes.txt": b"hello\n"})).problems[0].message


SOS = {
    "sos_commands/networking/iptables-save": SAVE,
    "sos_commands/networking/ip_-4_rule_list": RULE,
    "sos_commands/networking/ip_-6_rule_list": RULE,
    "sos_commands/networking/namespaces/blue/ip_netns_exec_blue_iptables-save": SAVE,
    "sos_commands/networking/namespaces/blue/ip_netns_exec_blue_ip6tables-save": SAVE6,
    "sos_commands/networking/ip_netns_exec_qrouter-984c_ip_rule_list": RULE,
    "sos_commands/networking/ip_-s_-d_link": LINK,
    "sos_commands/networking/ip_-d_address": LINK,
    "sos_commands/networking/namespaces/blue/ip_netns_exec_blue_ip_-d_address": LINK,
    "sos_commands/kernel/sysctl_-a": SETTINGS,
    "sos_commands/networking/ip_route_show_table_all": b"default via 192.0.2.1 dev eth0\n",
    "etc/iptables/rules.v4": SAVE6,
    "date": b"now\n",
}
SOS_READ = [
    ("ip_-4_rule_list", "ip-rule", "host", "ip"),
    ("ip_-6_rule_list", "ip-rule", "host", "ip6"),
    ("ip_-s_-d_link", "ip-link", "host", "inet"),
    ("ip_netns_exec_blue_ip6tables-save", "iptables-save", "blue", "ip6"),
    ("ip_netns_exec_blue_ip_-d_address", "ip-link", "blue", "inet"),
    ("ip_netns_exec_blue_iptables-save", "iptables-save", "blue", "inet"),
    ("ip_netns_exec_qrouter-984c_ip_rule_list", "ip-rule", "qrouter-984c", "ip"),
    ("iptables-save", "iptables-save", "host", "inet"),
    ("sysctl_-a", "sysctl", "host", "inet"),
]
BUGTOOL = {
    "cmd/iptables-save--c.md": SAVE,
    "cmd/iptables-nft-save--c.md": SAVE,
    "cmd/iptables-legacy-save--c.md": b"",
    "cmd/ip6tables-save--c.md": SAVE6,
    "cmd/ip-rule.md": b"# ip rule\n\n```\n" + RULE + b"```\n",
    "cmd/ip--d--s-l.md": b"# ip -d -s l\n\n```\n" + LINK + b"```\n",
    "cmd/sysctl--a.md": b"# sysctl -a\n\n```\n" + SETTINGS + b"```\n",
    "cmd/ps-auxfw.md": b"root 1\n",
}
BUGTOOL_READ = [
    ("ip--d--s-l.md", "ip-link", "host", "inet"),
    ("ip-rule.md", "ip-rule", "host", "ip"),
    ("ip6tables-save--c.md", "iptables-save", "host", "ip6"),
    ("iptables-nft-save--c.md", "iptables-save", "host", "inet"),
    ("sysctl--a.md", "sysctl", "host", "inet"),
]
GATHER = {
    "network_logs/cluster_scale": b"services amount: 3\n",
    "host_service_logs/masters/kubelet_service.log": SAVE,
    "sos_info/networking/192.0.2.7-ip -4 rule.log": RULE,
    "sos_info/networking/192.0.2.7-ip -6 rule.log": RULE,
}
GATHER_READ = [("192.0.2.7-ip -4 rule.log", "ip-rule", "host", "ip"), ("192.0.2.7-ip -6 rule.log", "ip-rule", "host", "ip6")]
LAYOUTS = {
    "sosreport": ("sosreport-node-2026", SOS, SOS_READ),
    "bugtool": ("cilium-bugtool-cilium-abcde-20260101-000000", BUGTOOL, BUGTOOL_READ),
    "must-gather": ("must-gather.local.123/quay-io-sha256-abc", GATHER, GATHER_READ),
}


@pytest.mark.parametrize(("root", "files", "expected"), LAYOUTS.values(), ids=LAYOUTS)
def test_captures_of_other_tools(tmp_path: Path, root: str, files: dict[str, bytes], expected: list[tuple[str, ...]]) -> None:
    """As an archive, as its folder, and as a folder that holds it: the same."""
    folder = written(tmp_path, files, f"held/{root}")
    archive = read(tmp_path, packed({f"{root}/{name}": data for name, data in files.items()}, "xz"))
    for found in (archive, gather([str(folder)], io.BytesIO()), gather([str(tmp_path / "held")], io.BytesIO())):
        assert sorted((path.rpartition("/")[2], *rest) for path, *rest in said(found)) == expected
        assert found.problems == []


def test_a_sysdump_holds_an_archive_for_its_node(tmp_path: Path) -> None:
    root = "cilium-bugtool-cilium-abcde-20260101-000000"
    inner = packed({f"{root}/{name}": data for name, data in BUGTOOL.items()})
    found = read(tmp_path, packed({f"cilium-sysdump-1/{root}.tar.gz": inner, "cilium-sysdump-1/k8s-nodes.yaml": b"a: 1\n"}, "zip"), "s.zip")
    assert [(path.rpartition("/")[2], *rest) for path, *rest in said(found)] == BUGTOOL_READ
    assert [k.source.line(5) for k in found.known if k.name == "ip-rule"] == ["100:\tfrom all fwmark 0x40000/0x40000 lookup 100"]
    deep = read(tmp_path, packed({f"{root}.tar.gz": packed({f"{root}.tar.gz": inner})}))
    assert "too deep" in deep.problems[0].message


def test_folders_that_are_no_capture_are_not_searched(tmp_path: Path) -> None:
    folder = written(tmp_path, {"ip-rule.txt": RULE, "old/iptables-save.txt": SAVE, "node2/sos_commands/networking/iptables-save": SAVE})
    (folder / "again").symlink_to(folder)
    assert [row[0] for row in said(gather([str(folder)], io.BytesIO()), folder)] == ["ip-rule.txt"]


@pytest.mark.parametrize("file", sorted(rules("captures").glob("*.toml")), ids=lambda f: f.stem)
def test_layouts_are_well_formed(file: Path) -> None:
    for entry in tomllib.loads(file.read_text())["files"]:
        assert entry.keys() <= {"path", "family", "archive", "unless"}
        assert entry.get("family", "ip") in ("ip", "ip6")
    assert layouts.patterns()


class TestManifest:
    def told(self, **more: object) -> dict[str, object]:
        entry = {"name": "ip rule", "file": "r.txt", "notation": "ip-rule", "netns": "blue", "family": "ip", "command": "ip rule show"}
        return {"schema": manifest.SCHEMA, "captures": [entry], "failed": [{"name": "wg", "why": "not here"}], **more}

    def read(self, tmp_path: Path, told: object, files: dict[str, bytes] | None = None) -> Gathered:
        data = told if isinstance(told, bytes) else json.dumps(told).encode()
        held = {"manifest.json": data, **({"r.txt": b""} if files is None else files)}
        return read(tmp_path, packed({f"markreg-collect/{name}": content for name, content in held.items()}))

    def test_it_says_what_each_file_is(self, tmp_path: Path) -> None:
        """Even of an empty capture: nothing is there, which is known."""
        found = self.read(tmp_path, self.told())
        assert said(found, tmp_path / "node.tar.gz" / "markreg-collect") == [("r.txt", "ip-rule", "blue", "ip")]
        assert [(p.path, p.message) for p in found.unread] == [("wg", "not here")]
        assert found.problems == []

    def test_files_that_it_does_not_name_are_left_out(self, tmp_path: Path) -> None:
        found = self.read(tmp_path, self.told(), {"r.txt": RULE, "iptables-save.txt": SAVE, "notes": b"x"})
        assert (len(found.known), found.skipped) == (1, 2)

    def test_a_notation_that_nobody_reads(self, tmp_path: Path) -> None:
        told = self.told()
        told["captures"] = [{**told["captures"][0], "notation": "tea-leaves"}]  # type: ignore[index]
        found = self.read(tmp_path, told)
        assert "tea-leaves" in found.unread[0].message + found.unread[1].message

    @pytest.mark.parametrize(
        "told",
        [
            b'{"schema": "markreg.collect/1"',
            b'{"schema": "markreg.collect/99"}',
            b'{"schema": "markreg.collect/1"}',
            b'{"schema": "markreg.collect/1", "captures": [1], "failed": []}',
            b'{"schema": "markreg.collect/1", "captures": [{"name": 1}], "failed": []}',
            b'{"markreg.collect/1":' + b"[" * 100_000,
        ],
    )
    def test_a_broken_one_is_a_problem(self, tmp_path: Path, told: bytes) -> None:
        found = self.read(tmp_path, told)
        assert not found.known
        assert found.problems[0].path.endswith("manifest.json")

    def test_a_file_that_is_missing_is_a_problem(self, tmp_path: Path) -> None:
        assert "is not there" in self.read(tmp_path, self.told(), {}).problems[0].message

    def test_a_manifest_of_another_program_is_a_file_like_others(self, tmp_path: Path) -> None:
        found = read(tmp_path, packed({"manifest.json": b'{"files": []}', "ip-rule.txt": RULE}))
        assert (len(found.known), found.problems) == (1, [])


@needs_shared
def test_files_of_a_real_sosreport_are_found_by_their_names() -> None:
    """The corpus has its files by their names in a sosreport, "/" as "_"."""
    names = [p.name for folder in ("ip-rule", "iptables-save", "conntrack") for p in (SHARED / "corpus" / folder).glob("hotsos_sos_*")]
    assert names
    for name in names:
        plugin, _, file = name.removeprefix("hotsos_sos_commands_").partition("_")
        assert layouts.place(f"sosreport-x/sos_commands/{plugin}/{file}"), name
