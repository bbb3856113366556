"""markreg init: the first registry file of a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from markreg.cli import _common as common

if TYPE_CHECKING:
    from markreg.plan.first import Member
    from markreg.registry.model import Registry


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(init)


def init(
    paths: Annotated[list[str] | None, typer.Argument(metavar="[MANIFEST]...", help="What is deployed: files, folders; or -.")] = None,
    observed: Annotated[
        list[Path] | None,
        typer.Option("--observed", envvar="MARKREG_OBSERVED", metavar="FILE", help="What a node does: markreg audit --format json."),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", envvar="MARKREG_OUTPUT", metavar="FILE", help="Where to write it.")] = Path(
        "registry.toml"
    ),
    node_pool: Annotated[
        str, typer.Option("--node-pool", envvar="MARKREG_NODE_POOL", metavar="NAME", help="What to call the nodes.")
    ] = "nodes",
    force: Annotated[bool, typer.Option("--force", envvar="MARKREG_FORCE", help="Write over a file that is there.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", envvar="MARKREG_DRY_RUN", help="Print it, and write nothing.")] = False,
) -> None:
    """Writes a commented registry.toml for a cluster, from audits of its nodes or from its manifests."""
    from markreg import resources
    from markreg.plan import first
    from markreg.plan import observed as seen

    if not (paths or observed):
        common.fail("name manifests, or an audit with --observed")
    if output.exists() and not (force or dry_run):
        common.fail(f"{output} is there already; --force writes over it, --dry-run only prints")
    shipped = resources.builtin_registry()
    if output.resolve() == shipped.resolve() and not dry_run:
        common.fail(f"{output} is the catalogue that ships, which is not written over; --output names another file")
    known = common.load_registry(shipped)
    try:
        audits = seen.read(observed or [])
    except seen.ObservedError as error:
        common.fail(str(error))
    for file in audits.incomplete:
        common.say(f"{file} is incomplete: there may be more on that node")
    members = [*_deployed(paths, known), *first.from_observed(audits)]
    origin = ", ".join([*(str(p) for p in observed or []), *(paths or [])])
    text = first.draft(members, audits, known, node_pool, origin)
    faults = _faults(text)
    common.emit(text, None if dry_run else output)
    if not dry_run:
        common.say(f"{output}: {len({m.name for m in members})} components")
    for line in faults:
        common.say(line)


def _deployed(paths: list[str] | None, known: Registry) -> Iterator[Member]:
    """The components of manifests, with their releases and what is set there."""
    if not paths:
        return
    from markreg.deployed import deploy
    from markreg.plan.first import Member
    from markreg.plan.settings import toml
    from markreg.registry.releases import lenient

    gathered = common.gather(paths, None, 0)
    for problem in gathered.problems:
        common.say(f"MK902 {problem.path}: {problem.message}")
    readings = [k.format.read(k.source, k.name, k.scope) for k in gathered.known]
    for found in deploy(readings, known):
        known_knobs = {k.name: k for k in known.rules[found.name].knob} if found.name in known.rules else {}
        knobs = {
            s.knob: toml(known_knobs[s.knob], s.value) if type(s.value) is int and s.knob in known_knobs else s.value
            for s in found.settings
            if s.value is not None and not s.refused
        }
        release = found.release if found.release and lenient(found.release) is not None else None
        yield Member(found.name, "; ".join(found.evidence[:2]), release, settings=knobs)


def _faults(text: str) -> list[str]:
    """What markreg registry check will say of the file, which needs no place yet: it extends only what ships."""
    from tempfile import gettempdir

    from markreg.registry import overlaps
    from markreg.registry.errors import RegistryError
    from markreg.registry.load import load

    try:
        known = load(Path(gettempdir()) / "registry.toml", text=text)
    except RegistryError as error:
        common.fail(f"the components found cannot be put into one plan: {error.message}")
    return [f"{f.code} {f.message}" for f in overlaps.check(known) if f.severity == "error"]
