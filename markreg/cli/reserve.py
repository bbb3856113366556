"""markreg reserve: finds free bits or numbers, says why these, and writes them into the plan file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from markreg.cli import _common as common

if TYPE_CHECKING:
    from markreg.plan.observed import Observed
    from markreg.registry.model import Registry

_PURPOSE = "other"


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(reserve)


def reserve(
    owner: Annotated[str, typer.Argument(metavar="OWNER", help="The component that gets them.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="The reservation's name.")],
    field: Annotated[
        str | None, typer.Option("--field", envvar="MARKREG_FIELD", metavar="FIELD", help="skb_mark, ct_mark, ct_label …")
    ] = None,
    width: Annotated[
        int | None,
        typer.Option("--width", envvar="MARKREG_WIDTH", metavar="N", min=1, help="This many bits in a row, where they fit best."),
    ] = None,
    bits: Annotated[str | None, typer.Option("--bits", envvar="MARKREG_BITS", metavar="BITS", help="Exactly these bits.")] = None,
    within: Annotated[
        str | None, typer.Option("--within", envvar="MARKREG_WITHIN", metavar="PATH", help="Numbers of a reservation's sub-field.")
    ] = None,
    value: Annotated[
        int | None, typer.Option("--value", envvar="MARKREG_VALUE", metavar="V", min=0, help="Exactly this number, or from it on.")
    ] = None,
    count: Annotated[
        int | None, typer.Option("--count", envvar="MARKREG_COUNT", metavar="N", min=1, help="This many numbers in a row.")
    ] = None,
    observed: Annotated[
        list[Path] | None,
        typer.Option("--observed", envvar="MARKREG_OBSERVED", metavar="FILE", help="What nodes use: markreg audit --format json."),
    ] = None,
    nb: Annotated[
        list[str] | None, typer.Option("--nb", envvar="MARKREG_NB", metavar="FILE", help="A dump of OVN's northbound database.")
    ] = None,
    scope: Annotated[
        list[str] | None, typer.Option("--scope", envvar="MARKREG_SCOPE", metavar="NAME", help="Where the bits are used, else host.")
    ] = None,
    source: Annotated[str, typer.Option("--source", envvar="MARKREG_SOURCE", metavar="TEXT", help="Where it can be looked up.")] = "",
    purpose: Annotated[
        str, typer.Option("--purpose", envvar="MARKREG_PURPOSE", metavar="WORD", help="What for, in the registry's words.")
    ] = _PURPOSE,
    title: Annotated[str, typer.Option("--title", envvar="MARKREG_TITLE", metavar="TEXT", help="What for, in one line.")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", envvar="MARKREG_DRY_RUN", help="Print what would change, and change nothing.")
    ] = False,
    registry: common.RegistryOption = None,
) -> None:
    """Finds bits or numbers that nobody has, says why these, and writes them into the plan file. Exit 1 if nothing fits."""
    from markreg.plan import observed as seen
    from markreg.plan.editing import EditError, locked
    from markreg.registry.load import discover

    if within is None:
        _must(field is not None and (width is None) != (bits is None) and value is None and count is None, "--field with --width or --bits")
    else:
        _must(field is None and width is None and bits is None and not scope, "--within with --value or --count, and no --field")
        _must(value is not None or count is not None, "--within with --value or --count")
    path = discover(registry).resolve()
    _check_plan(path)
    try:
        audits = seen.read(observed or [])
        ids = seen.numbered(common.gather(nb, None, 0).known) if nb else {}
        for file in audits.incomplete:
            common.say(f"{file} is incomplete: what was not understood there may use any bits")
        # Read, choose and write as one step: whoever waits for the lock reads what this run has written.
        with locked(path):
            known = common.load_registry(path)
            row, why = _row(known, owner, name, within, field, width, bits, value, count, scope or [], audits, len(observed or []), ids)
            _described(row, owner, name, source, purpose, title)
            _write(path, known, owner, row, why, dry_run)
    except (seen.ObservedError, EditError) as error:
        common.fail(str(error))


def _must(holds: bool, message: str) -> None:
    if not holds:
        common.fail(message)


def _check_plan(path: Path) -> None:
    from markreg import resources

    if path == resources.builtin_registry().resolve():
        common.fail("there is no plan file, only the catalogue that ships, which is not edited; markreg init writes one")


def _row(
    known: Registry,
    owner: str,
    name: str,
    within: str | None,
    field: str | None,
    width: int | None,
    bits: str | None,
    value: int | None,
    count: int | None,
    scope: list[str],
    audits: Observed,
    files: int,
    ids: dict[str, dict[int, str]],
) -> tuple[dict[str, Any], tuple[str, str, str]]:
    """The reservation's keys and the reasons; exit 1 where nothing fits."""
    from markreg.bits import BitsError, format_bits, parse_bits
    from markreg.plan import choice, numbering
    from markreg.registry.errors import did_you_mean

    if known.kind == "catalogue":
        common.fail(f'{known.path} is a catalogue, which lists what others use; reservations go to a plan (kind = "plan")')
    if known.rows(f"{owner}/{name}"):
        common.fail(f"{owner}/{name} is reserved already (markreg show {owner}/{name})")
    try:
        if within is not None:
            if not known.rows(within):
                paths = [f"{c}/{r.name}" for c, e in known.components.items() for r in e.reservation]
                common.fail(f"--within: no reservation {within!r}{did_you_mean(within, paths)}")
            parent = numbering.parent_of(known, within)
            numbers = numbering.choose(known, owner, parent, count or 1, value, audits, ids)
            return {"name": name, "within": within, "value_range": numbers.text}, numbers.why
        assert field is not None
        if field not in known.fields:
            common.fail(f"--field: no field is called {field!r}{did_you_mean(field, known.fields)}")
        full_width = known.fields[field].width
        _must(width is None or width <= full_width, f"--width: {field} has {full_width} bits")
        wish = choice.Wish(owner, field, width or 0, parse_bits(bits, full_width) if bits is not None else None, tuple(scope) or ("host",))
        found = choice.choose(known, wish, audits, files)
    except choice.NothingFitsError as error:
        common.say(str(error))
        raise typer.Exit(1) from None
    except (BitsError, KeyError) as error:
        common.fail(f"--bits: {error}" if bits is not None else f"--within: {within} has no bits")
    row: dict[str, Any] = {"name": name, "field": field, "bits": format_bits(found.mask)}
    if scope:
        row["scope"] = scope
    return row, found.why


def _described(row: dict[str, Any], owner: str, name: str, source: str, purpose: str, title: str) -> None:
    from markreg.registry.accepted import today

    if purpose != _PURPOSE:
        row["purpose"] = purpose
    if title:
        row["title"] = title
    row["source"] = source or f"reserved with markreg reserve {owner} {name}"
    row["checked"] = today()


def _write(path: Path, known: Registry, owner: str, row: dict[str, Any], why: tuple[str, str, str], dry_run: bool) -> None:
    from markreg.plan.editing import with_reservation

    before = path.read_text(encoding="utf-8")
    after = with_reservation(before, owner, row)
    _verify(path, after, known)
    if dry_run:
        common.emit(_unified(before, after, path), None)
    else:
        common.write(path, after)
    place = row.get("bits") or row["value_range"]
    common.emit(f"{owner}/{row['name']}: {row.get('field') or row['within']} {place}\n" if not dry_run else "", None)
    for line in why:
        common.say(line)


def _verify(path: Path, text: str, before: Registry) -> None:
    """Refuses a plan that would be invalid, or in which more overlaps than before; nothing has been written yet."""
    from markreg.registry import overlaps
    from markreg.registry.errors import RegistryError
    from markreg.registry.load import load

    try:
        after = load(path, text=text)
    except RegistryError as error:
        common.fail(str(error))
    known = {f.message for f in overlaps.check(before)}
    for finding in overlaps.check(after):
        if finding.code == overlaps.CODE and finding.severity == "error" and finding.message not in known:
            common.fail(finding.message)


def _unified(before: str, after: str, path: Path) -> str:
    from difflib import unified_diff

    return "".join(unified_diff(before.splitlines(keepends=True), after.splitlines(keepends=True), str(path), str(path)))
