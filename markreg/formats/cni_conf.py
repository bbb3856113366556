"""CNI network configurations: a conflist, or the configuration of a single plugin, as JSON."""

from __future__ import annotations

import re

from markreg.formats import manifest
from markreg.model import Reading, Scope
from markreg.source import Source

NAMES = ("cni-conf",)

_VERSION = re.compile(r"[\"']?cniVersion[\"']?[ \t]*:")
_PLUGIN = re.compile(r"\{[^{}\[\]]*\"type\"[ \t]*:[ \t]*\"[a-z][\w-]*\"")
_API = re.compile(r"^[ \t{,-]*[\"']?apiVersion[\"']?[ \t]*:", re.MULTILINE)


def detect(source: Source) -> str | None:
    """By ``cniVersion``, or by a list of plugins each of a type."""
    head = source.head(16384)
    if not head.lstrip().startswith("{") or _API.search(head):
        return None
    return NAMES[0] if _VERSION.search(head) or ('"plugins"' in head and _PLUGIN.search(head)) else None


def read(source: Source, name: str, scope: Scope) -> Reading:
    """The same as of any manifest."""
    return manifest.read(source, name, scope)
