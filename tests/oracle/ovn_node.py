"""A whole OVN in one folder: databases, northd, a vswitch with a dummy datapath, and the controller of one chassis.

Every socket, database and log is in that folder, so nothing of this machine is met: no default socket, no kernel datapath. Processes
are children of the test and are ended by their own handles.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

# Databases by the names that their sockets have in a run folder.
SCHEMAS = {
    "db": "/usr/share/openvswitch/vswitch.ovsschema",
    "ovnnb_db": "/usr/share/ovn/ovn-nb.ovsschema",
    "ovnsb_db": "/usr/share/ovn/ovn-sb.ovsschema",
}
_PATIENCE = 60.0


class OvnNode:
    """One chassis. Enter it to start everything, leave it to end everything."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._children: list[subprocess.Popen[bytes]] = []
        rundir = str(folder)
        names = ("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR", "OVN_RUNDIR", "OVN_DBDIR", "OVN_LOGDIR", "OVN_SYSCONFDIR")
        self.environment = {**os.environ, **dict.fromkeys(names, rundir)}
        self.environment |= {"OVN_NB_DB": f"unix:{folder}/ovnnb_db.sock", "OVN_SB_DB": f"unix:{folder}/ovnsb_db.sock"}

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end()

    def _start(self) -> None:
        for name, schema in SCHEMAS.items():
            self.run("ovsdb-tool", "create", f"{self.folder}/{name}.db", schema)
            socket = self.folder / f"{name}.sock"
            self._child("ovsdb-server", f"{self.folder}/{name}.db", f"--remote=punix:{socket}")
            self.until(socket.exists, f"the database {name}")
        conf = f"unix:{self.folder}/db.sock"
        self._child("ovs-vswitchd", conf, "--enable-dummy=override", "--disable-system", "--disable-system-route")
        self.run("ovn-nbctl", "init")
        self.run("ovn-sbctl", "init")
        self._child("ovn-northd", f"--ovnnb-db={self.environment['OVN_NB_DB']}", f"--ovnsb-db={self.environment['OVN_SB_DB']}")
        self.vsctl("init")
        ids = ("system-id=chassis1", "ovn-bridge-datapath-type=dummy", "ovn-encap-type=geneve", "ovn-encap-ip=127.0.0.1")
        settings = (*ids, f"ovn-remote={self.environment['OVN_SB_DB']}", "ovn-bridge-mappings=physnet:br-ex")
        for setting in settings:
            key, _, value = setting.partition("=")
            self.vsctl("set", "open", ".", f'external_ids:{key}="{value}"')
        self.vsctl("add-br", "br-ex", "--", "set", "bridge", "br-ex", "datapath_type=dummy")
        self._child("ovn-controller", conf)
        self.until(lambda: "br-int" in self.vsctl("list-br"), "br-int")

    def _end(self) -> None:
        for child in reversed(self._children):
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
        for child in reversed(self._children):
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait(10)
        self._children.clear()

    def _child(self, program: str, *arguments: str) -> None:
        """A daemon; its control socket is named after its process, as that of a packaged one is."""
        with (self.folder / f"{program}.{len(self._children)}.log").open("wb") as log:
            words = (shutil.which(program) or program, *arguments, "--no-chdir")
            self._children.append(subprocess.Popen(words, env=self.environment, cwd=self.folder, stdout=log, stderr=log))

    def run(self, *words: str) -> str:
        """What a tool prints; CalledProcessError if it fails."""
        done = subprocess.run(words, env=self.environment, cwd=self.folder, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise AssertionError(f"{' '.join(words)}: {done.stderr}")
        return done.stdout

    def vsctl(self, *words: str) -> str:
        """ovs-vsctl on this node's own configuration database."""
        return self.run("ovs-vsctl", f"--db=unix:{self.folder}/db.sock", *words)

    def nbctl(self, text: str) -> None:
        """Northbound commands, one a line."""
        for line in text.strip().splitlines():
            self.run("ovn-nbctl", *shlex.split(line))

    def zones(self) -> str:
        """What ``ovn-appctl -t ovn-controller ct-zone-list`` prints."""
        (control,) = self.folder.glob("ovn-controller.*.ctl")
        return self.run("ovn-appctl", "-t", str(control), "ct-zone-list")

    def ofctl(self, bridge: str, *words: str, version: int = 15) -> str:
        """ovs-ofctl on a bridge: the command, then what follows the bridge. ``version``: of OpenFlow, 15 for 1.5."""
        command, *rest = words
        return self.run("ovs-ofctl", "-O", f"OpenFlow{version}", command, f"unix:{self.folder}/{bridge}.mgmt", *rest)

    def until(self, done: Callable[[], bool], what: str) -> None:
        """Waits for something that the daemons do by themselves."""
        end = time.monotonic() + _PATIENCE
        while not done():
            if time.monotonic() > end:
                raise AssertionError(f"waited {_PATIENCE:.0f} s for {what}: {self._children_state()}")
            time.sleep(0.1)

    def _children_state(self) -> str:
        return ", ".join(f"{c.args[0]} {c.poll()}" for c in self._children if isinstance(c.args, tuple))
