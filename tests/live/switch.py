"""An Open vSwitch, and OVN's databases, in a folder of their own with the sockets where packages put them: no default socket is met."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

SCHEMAS = Path("/usr/share/openvswitch/vswitch.ovsschema"), Path("/usr/share/ovn/ovn-nb.ovsschema"), Path("/usr/share/ovn/ovn-sb.ovsschema")
_SOCKETS = ("db.sock", "ovnnb_db.sock", "ovnsb_db.sock")
_PATIENCE = 30.0


class Switch:
    """ovsdb-server for the three databases and ovs-vswitchd with the dummy datapath. Enter it to start them, leave it to end them."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ovs"))  # the path of a socket has room for 108 characters
        self.environment = {**os.environ, "OVS_RUNDIR": str(self.folder), "OVN_RUNDIR": str(self.folder)}
        self._children: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        try:
            for schema, socket in zip(SCHEMAS, _SOCKETS, strict=True):
                database = self.folder / f"{socket}.db"
                self.run("ovsdb-tool", "create", str(database), str(schema))
                self._child(
                    "ovsdb-server", str(database), f"--remote=punix:{self.folder}/{socket}", f"--unixctl={self.folder}/{socket}.ctl"
                )
                self._until(self.folder / socket)
            self.vsctl("--no-wait", "init")
            self._child("ovs-vswitchd", f"unix:{self.folder}/db.sock", "--enable-dummy=override", "--disable-system")
            self._until(self.control)
            self.run("ovn-nbctl", f"--db=unix:{self.folder}/ovnnb_db.sock", "init")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end()

    @property
    def control(self) -> Path:
        """The control socket of ovs-vswitchd."""
        return self.folder / f"ovs-vswitchd.{self._children[-1].pid}.ctl"

    def _end(self) -> None:
        for child in reversed(self._children):
            child.terminate()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _child(self, program: str, *arguments: str) -> None:
        words = (shutil.which(program) or f"/usr/sbin/{program}", *arguments, "--no-chdir", f"--log-file={self.folder}/{program}.log")
        quiet = subprocess.DEVNULL
        self._children.append(subprocess.Popen(words, env=self.environment, cwd=self.folder, stdin=quiet, stdout=quiet, stderr=quiet))

    def _until(self, socket: Path) -> None:
        end = time.monotonic() + _PATIENCE
        while not socket.exists():
            if time.monotonic() > end:
                raise AssertionError(f"{socket.name} did not come")
            time.sleep(0.05)

    def run(self, *words: str) -> str:
        """What a tool prints; AssertionError with its complaint if it fails."""
        done = subprocess.run(words, env=self.environment, cwd=self.folder, capture_output=True, text=True, timeout=20, check=False)
        assert not done.returncode, f"{' '.join(words)}: {done.stderr}"
        return done.stdout

    def vsctl(self, *words: str) -> str:
        """ovs-vsctl on this switch."""
        return self.run("ovs-vsctl", f"--db=unix:{self.folder}/db.sock", *words)

    def flow(self, bridge: str, text: str) -> None:
        """Adds a flow."""
        self.run("ovs-ofctl", "-O", "OpenFlow15", "add-flow", f"unix:{self.folder}/{bridge}.mgmt", text)

    def appctl(self, *words: str) -> str:
        """ovs-appctl on ovs-vswitchd."""
        return self.run("ovs-appctl", "-t", str(self.control), *words)

    def nbctl(self, *words: str) -> str:
        """ovn-nbctl on the northbound database."""
        return self.run("ovn-nbctl", f"--db=unix:{self.folder}/ovnnb_db.sock", *words)
