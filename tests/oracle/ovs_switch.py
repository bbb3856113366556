"""A real Open vSwitch on a dummy datapath, in a folder of its own: databases, sockets and logs touch nothing of the machine."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
VERSIONS = "OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15"
_WAIT = 30


@dataclass(frozen=True)
class Switch:
    """A running switch: its folder holds its sockets."""

    folder: Path

    @property
    def env(self) -> dict[str, str]:
        """What its programs must see."""
        places = ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR")
        return {**os.environ, **dict.fromkeys(places, str(self.folder))}

    def run(self, *words: str | Path, stdin: str = "") -> str:
        """A program's output; a failure shows what it said."""
        done = subprocess.run(words, input=stdin, capture_output=True, text=True, env=self.env, timeout=_WAIT)
        assert done.returncode == 0, f"{' '.join(map(str, words))}: {done.stderr}"
        return done.stdout

    def vsctl(self, *words: str) -> str:
        """ovs-vsctl on its database."""
        return self.run("ovs-vsctl", f"--db=unix:{self.folder}/db.sock", "--timeout=20", *words)

    def add_bridge(self, name: str, ports: int) -> None:
        """A bridge of the dummy datapath with ports 1 … ``ports``."""
        words = ["add-br", name, "--", "set", "bridge", name, "datapath_type=dummy", "fail-mode=secure", f"protocols={VERSIONS}"]
        for n in range(1, ports + 1):
            port = f"{name}p{n}"
            words += ["--", "add-port", name, port, "--", "set", "interface", port, "type=dummy", f"ofport_request={n}"]
        self.vsctl(*words)

    def load(self, bridge: str, flows: str, version: str = "OpenFlow15") -> None:
        """These flows and no others."""
        self.run("ovs-ofctl", "-O", version, "replace-flows", bridge, "-", stdin=flows)

    def dump(self, bridge: str, version: str, *options: str) -> str:
        """All flows, as one version prints them."""
        return self.run("ovs-ofctl", "-O", version, *options, "dump-flows", bridge)

    def trace(self, bridge: str, flow: str) -> str:
        """What becomes of a packet."""
        return self.run("ovs-appctl", "-t", self.folder / "ovs-vswitchd.ctl", "ofproto/trace", bridge, flow)


@contextmanager
def switch(folder: Path) -> Iterator[Switch]:
    """Starts a switch and ends it."""
    found = Switch(folder)
    found.run("ovsdb-tool", "create", folder / "conf.db", SCHEMA)
    server: list[str | Path] = ["ovsdb-server", folder / "conf.db", f"--remote=punix:{folder}/db.sock", f"--unixctl={folder}/ovsdb.ctl"]
    with _daemon(found, server, folder / "db.sock"):
        found.vsctl("--no-wait", "init")
        program = ["ovs-vswitchd", f"unix:{folder}/db.sock", "--enable-dummy", "--disable-system", f"--unixctl={folder}/ovs-vswitchd.ctl"]
        with _daemon(found, program, folder / "ovs-vswitchd.ctl"):
            yield found


@contextmanager
def _daemon(found: Switch, words: Sequence[str | Path], socket: Path) -> Iterator[None]:
    log = found.folder / f"{Path(words[0]).name}.log"
    with log.open("w") as file:
        process = subprocess.Popen(words, env=found.env, stdout=file, stderr=file, stdin=subprocess.DEVNULL)
        try:
            for _ in range(_WAIT * 20):
                if socket.exists():
                    break
                assert process.poll() is None, log.read_text()
                time.sleep(0.05)
            yield
        finally:
            process.terminate()
            try:
                process.wait(_WAIT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
