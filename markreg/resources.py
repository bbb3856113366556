"""Where grammar/, rules/ and registry.toml are: ``_data`` inside an installed package, the top level of a checkout."""

from __future__ import annotations

from functools import cache
from pathlib import Path


def data_root() -> Path:
    """The folder that holds grammar/, rules/ and registry.toml."""
    package = Path(__file__).resolve().parent
    inside = package / "_data"
    return inside if inside.is_dir() else package.parent


@cache
def grammar(name: str) -> str:
    """The text of ``grammar/NAME.lark``."""
    return (data_root() / "grammar" / f"{name}.lark").read_text(encoding="utf-8")


def rules(folder: str) -> Path:
    """A folder of rules/: ``components`` or ``checks``."""
    return data_root() / "rules" / folder


def builtin_registry() -> Path:
    """The registry that ships."""
    return data_root() / "registry.toml"


_BUILTIN = "builtin:"


def shown(path: str) -> str:
    """How reports name a file of the registry: as the user would type it, or ``builtin:NAME`` for one that ships."""
    for root, prefix in ((Path.cwd(), ""), (data_root(), _BUILTIN)):
        if Path(path).is_relative_to(root):
            return f"{prefix}{Path(path).relative_to(root)}"
    return path


def behind(name: str) -> Path:
    """The file that `shown` gave a name."""
    return data_root() / name.removeprefix(_BUILTIN) if name.startswith(_BUILTIN) else Path(name)
