"""markreg registry pages, and add-component: what only those who keep the catalogue need."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from markreg.cli import _common as common


def pages(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the pages go; those of components that are gone are removed.")],
    registry: common.RegistryOption = None,
    check: Annotated[
        bool, typer.Option("--check", envvar="MARKREG_CHECK", help="Change nothing; exit 1 if a page is not as it would be made.")
    ] = False,
) -> None:
    """Writes the registry as Markdown pages: a picture a field, a page a component, and who cannot live with whom."""
    from markreg.catalogue import MADE
    from markreg.catalogue import pages as made

    wanted = {folder / path: text for path, text in made(common.load_registry(registry))}
    there = {p: p.read_text(encoding="utf-8") for p in sorted(folder.rglob("*.md"))}
    gone = [path for path, text in there.items() if path not in wanted and text.startswith(MADE)]
    stale = [path for path, text in wanted.items() if there.get(path) != text]
    for path in (*stale, *gone):
        common.say(f"{path}: {'not as it would be made' if check else 'removed' if path in gone else 'written'}")
    if not check:
        for path in gone:
            path.unlink()
        for path in stale:
            path.parent.mkdir(parents=True, exist_ok=True)
            common.write(path, wanted[path])
    raise typer.Exit(int(check and bool(stale or gone)))


def add_component(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Lower-case words joined by -.")],
    registry: common.RegistryOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", envvar="MARKREG_DRY_RUN", help="Print what would be added.")] = False,
) -> None:
    """Begins a component: a block in the registry file, and beside a catalogue rules/components/NAME.toml."""
    from markreg import resources
    from markreg.registry import skeleton
    from markreg.registry.load import discover

    known = common.load_registry(registry)
    if known.known(name):
        common.fail(f"{name} is registered already: markreg show {name}")
    path = discover(registry)
    try:
        entry, rules = skeleton.texts(name)
    except skeleton.SkeletonError as error:
        common.fail(str(error))
    file = path.parent / "rules" / "components" / f"{name}.toml"
    parts = [(path, entry)] + ([(file, rules)] if file.parent.is_dir() else [])
    if dry_run:
        common.emit("".join(f"# {resources.shown(str(where))}\n{text}\n" for where, text in parts), None)
        return
    if resources.data_root().name == "_data" and path == resources.builtin_registry():
        common.fail("the catalogue that ships is not yours to change: name a file of your own with --registry, or work in a checkout")
    if file.exists():
        common.fail(f"{file}: is there already")
    common.write(path, skeleton.added(path.read_text(encoding="utf-8"), entry))
    if len(parts) > 1:
        common.write(file, rules)
    for where, _ in parts:
        common.say(f"{where}: fill in what is empty, then markreg registry check")
