"""Which devices put a packet into another and let it keep its mark, by their kind or by their name (rules/devices.toml)."""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import cache

from markreg.resources import data_root


def keeps(kind: str) -> bool:
    """Whether a device of this kind (as iproute2 and OVS name it) encapsulates, and what it sends and receives keeps skb->mark inside
    one network namespace."""
    return kind in _data()[0]


def protocols(kind: str) -> tuple[str, ...]:
    """The protocols of the packets that such a device sends, as rules name them; none for a kind that keeps no mark."""
    return _data()[0].get(kind, ())


def kind_of(name: str) -> str:
    """The kind of device that a name is known to stand for, empty if it is not known. The name may be a condition's (``flannel.*``),
    which stands for those that end in a number."""
    shown = f"{name[:-1]}0" if name.endswith("*") else name
    return next((kind for pattern, kind in _data()[1] if fnmatchcase(shown, pattern)), "")


@cache
def _data() -> tuple[dict[str, tuple[str, ...]], tuple[tuple[str, str], ...]]:
    """The kinds that keep marks, with their protocols; patterns of names with their kinds."""
    import tomllib

    data = tomllib.loads((data_root() / "rules" / "devices.toml").read_text(encoding="utf-8"))
    names = tuple((name, device["kind"]) for device in data["device"] for name in device["names"])
    return {kind: tuple(found) for kind, found in data["keep"].items()}, names
