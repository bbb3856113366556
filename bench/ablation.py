"""What each ingredient of the path analysis is worth: markreg without it, on the controls of tests/paths and on folders of incidents.

python -m bench.ablation [FOLDER…]                       the table; FOLDERs are for the shared incidents.py in tools/ beside them
python -m bench.ablation --without INGREDIENT [FOLDER…]  its line, and the controls that come out wrong

Each line is a process of its own: what is taken out is replaced in the running program. ``found``: findings that incidents ask for;
``alarms``: such as they forbid; ``loud``: all errors and warnings of two owners there; ``missed`` and ``false``: rule sets of
controls that collide and are not told, that do not and are.
"""

from __future__ import annotations

import importlib.util
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import markreg.audit
import markreg.checks.sharing
import markreg.node
from markreg.inputs import gather
from markreg.model import Owned
from markreg.paths import analysis, answers, crossings, effects, lives, packets, reaching, relevance, rules, switches, walk
from markreg.paths.graph import Block
from markreg.paths.trail import Found, State
from markreg.report import Options, json_
from markreg.transfer import Word
from tests.paths.test_controls import CONTROLS, found, loud, registry


def _put(where: object, name: str, value: object) -> None:
    """Replaces a function of a module or a class, which has to be there."""
    _taken(where, name)
    setattr(where, name, value)


def _taken(where: object, name: str) -> Callable[..., Any]:
    """A function of a module or a class."""
    found: Callable[..., Any] = getattr(where, name)
    return found


def _kills() -> None:
    made = effects.Write.__init__

    def maybe(self: effects.Write, owned: Owned, question: effects.Question, effect: Word | None = None) -> None:
        made(self, owned, question, effect)
        self.maybe = True

    before = _taken(reaching.Reaching, "_written")

    def joined(self: reaching.Reaching, act: Owned, state: reaching.State) -> reaching.State:
        return [a | b for a, b in zip(state, before(self, act, state), strict=True)]

    _put(effects.Write, "__init__", maybe)
    _put(reaching.Reaching, "_written", joined)


def _marks() -> None:
    def both(self: walk.Walk, act: object, state: State) -> list[tuple[bool, State]]:
        return [(True, state), (False, state)]

    _put(walk.Walk, "_asked", both)
    _put(reaching.Reaching, "_asked_of", lambda self, act, state: (state, state))


def _classes() -> None:
    for module in (reaching, rules):
        _put(module, "decided", lambda guard, family, kind: None)
        _put(module, "MAPPED", lives.CLASSES)


def _devices() -> None:
    _put(packets.Packets, "fitting", lambda self, guard: None)


def _addresses() -> None:
    _put(relevance.Relevance, "ends", lambda self: None)


def _filters() -> None:
    _put(relevance, "_filters", lambda block: False)


def _selectors() -> None:
    _put(rules.Rules, "_selected", lambda self, selector, state: True)


def _orders() -> None:
    made = _taken(lives, "_groups")

    def singly(entries: list[tuple[int, Block | lives.Stop]], lookups: list[lives.Stop]) -> Iterator[tuple[object, ...]]:
        return ((member,) for group in made(entries, lookups) for member in group)

    _put(lives, "_groups", singly)


def _notrack() -> None:
    made = _taken(State, "_replace")

    def tracked(self: State, **changed: object) -> State:
        after: State = made(self, **{k: v for k, v in changed.items() if k != "bare"})
        return after

    _put(State, "_replace", tracked)


def _ways_back() -> None:
    made = _taken(crossings.Evidence, "lives")
    _put(crossings.Evidence, "crossings", lambda self, family: ())
    _put(crossings.Evidence, "lives", lambda *given: made(*given) - {"loopback", "answered", "encapsulated", "offloaded"})


def _evidence() -> None:
    """Of every node it is taken that any device may be a tunnel, that it answers with marks and fills a flowtable."""
    _put(crossings.Evidence, "_ways", lambda self: [("tunnel", ("udp",), (), True)])
    _put(crossings.Evidence, "lives", lambda self, family, every: set(every))
    _put(crossings.Evidence, "naming", lambda self, guard: True)


def _switches() -> None:
    _put(switches.Switches, "apart", lambda self, *given: False)
    _put(switches.Switches, "reach", lambda self, *given: None)


def _decision() -> None:
    # A hit is what is left of `turned`; the bits that differ from what they would be are what it begins with.
    _put(answers, "turned", lambda predicate, mask, mark, bits, value: bits & mask & (mark.value | mark.unknown | mark.had))


def _presumed() -> None:
    _put(markreg.node, "presumed", lambda *given, **more: ())


def _agreements() -> None:
    _put(markreg.checks.sharing, "agreed", lambda *given: False)


def _walks() -> None:
    class Nothing(walk.Walk):
        """A walk that gives up at once: tier 1 alone."""

        def run(self) -> Found:
            self.found.capped = True
            return self.found

    _put(analysis, "Walk", Nothing)


INGREDIENTS: dict[str, Callable[[], None]] = {
    "nothing": lambda: None,
    "kills": _kills,
    "guards on marks": _marks,
    "classes of packets": _classes,
    "devices and protocols": _devices,
    "addresses and ports": _addresses,
    "chains that only drop": _filters,
    "selectors of routing rules": _selectors,
    "both orders": _orders,
    "notrack": _notrack,
    "ways back": _ways_back,
    "evidence for ways back": _evidence,
    "flows in order": _switches,
    "decision test": _decision,
    "presumed uses": _presumed,
    "agreements": _agreements,
    "the walk (tier 1 alone)": _walks,
}
HEAD = ("left out", "found", "alarms", "loud", "missed", "false")


def _audited(folder: Path) -> dict[str, Any]:
    """The report on a folder, as `markreg audit --format json` prints it."""
    gathered = gather([str(folder)], io.BytesIO())
    done = markreg.audit.audit(gathered, registry())
    told: dict[str, Any] = json.loads(json_.render(done, Options(), markreg.audit.sources(gathered, done.node)))
    return told


def controls() -> tuple[int, int, list[str]]:
    """How many rule sets of controls come out wrong: missed, and false; and which."""
    missed = false = 0
    wrong: list[str] = []
    with TemporaryDirectory() as folder:
        for control in CONTROLS:
            for kind in control.kinds:
                for number, case in enumerate(control.cases):
                    heard = set(loud(found(Path(folder) / f"{control.name}-{kind}-{number}", case.inputs(kind))))
                    bad = bool(heard - set(case.codes)) if case.excluded else not heard & set(case.codes)
                    false += bad and case.excluded
                    missed += bad and not case.excluded
                    if bad:
                        wrong.append(f"{control.name} ({kind}, {'excluded' if case.excluded else 'collides'})")
    return missed, false, wrong


def incidents(folders: list[str]) -> tuple[int, int, int, int]:
    """What is wanted, found, false and loud in folders of incidents, judged by the script beside them."""
    script = _script(Path(folders[0]).resolve().parent / "tools" / "incidents.py")
    totals = [0, 0, 0, 0]
    for path in sorted({p.parent for d in folders for p in Path(d).rglob("incident.toml")}):
        spec = script.tomllib.loads((path / "incident.toml").read_text(encoding="utf-8"))
        runs = [(path, spec)]
        if fixed := spec.get("fixed"):
            runs.append((path / fixed.get("dir", "fixed"), fixed))
        for folder, part in runs:
            with TemporaryDirectory() as node:
                for file in folder.iterdir():
                    if file.is_file() and file.name not in ("incident.toml", "README.md"):
                        shutil.copy(file, node)
                report = _audited(Path(node))
            script.read_places(folder)
            _, alarms, _, wanted, met = script.judge(report, part, spec.get("owner", []), spec.get("fields", []))
            told = [f for f in report["findings"] if f["code"].startswith("MK10") and f["severity"] != "note"]
            totals = [a + b for a, b in zip(totals, (wanted, met, len(alarms), len(told)), strict=True)]
    wanted, met, false, loud = totals
    return wanted, met, false, loud


def _script(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("incidents", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def line(name: str, folders: list[str]) -> None:
    """Prints the line of an ingredient, then what is wrong without it."""
    INGREDIENTS[name]()
    missed, false, wrong = controls()
    wanted, met, alarms, loud = incidents(folders) if folders else (0, 0, 0, 0)
    print(_row(name, f"{met} of {wanted}", alarms, loud, missed, false))
    print(*(f"  {w}" for w in wrong), sep="\n")


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    """Prints the table, or one line of it."""
    if sys.argv[1:2] == ["--without"]:
        line(sys.argv[2], sys.argv[3:])
        return
    print(_row(*HEAD), _row(*["---"] * len(HEAD)), sep="\n", flush=True)
    for name in INGREDIENTS:
        command = [sys.executable, "-m", "bench.ablation", "--without", name, *sys.argv[1:]]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        print(done.stdout.partition("\n")[0] if not done.returncode else f"| {name} | {done.stderr.strip()[-200:]} |", flush=True)


if __name__ == "__main__":
    main()
