"""What each ingredient of the path analysis is worth: markreg without it, on the controls of tests/paths and on folders of incidents.

python -m bench.ablation [FOLDER…]        the table; FOLDERs are for the shared incidents.py, which stands beside them in tools/
python -m bench.ablation --as NAME …      markreg itself without one ingredient: the rest of the line is its command
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from markreg.model import Owned
from markreg.paths import effects, lives, packets, reaching, walk
from markreg.paths.graph import Block
from markreg.paths.trail import Found, State


def _put(where: object, name: str, value: object) -> None:
    """Replaces a function of a module or a class."""
    setattr(where, name, value)


def _taken(where: object, name: str) -> Callable[..., Any]:
    """A function of a module or a class."""
    found: Callable[..., Any] = getattr(where, name)
    return found


def _kills() -> None:
    made = effects.Write.__init__

    def maybe(self: effects.Write, owned: Owned, question: effects.Question) -> None:
        made(self, owned, question)
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
    for module in (packets, reaching, walk):
        vars(module)["decided"] = lambda guard, family, kind: None
    vars(walk)["MAPPED"] = vars(reaching)["MAPPED"] = ("new", "new-again", "related", "related-again", "established")


def _devices() -> None:
    _put(packets.Packets, "fitting", lambda self, guard: None)


def _orders() -> None:
    made = _taken(lives, "_groups")

    def singly(entries: list[tuple[int, Block | lives.Stop]], lookups: list[lives.Stop]) -> Iterator[tuple[object, ...]]:
        return ((member,) for group in made(entries, lookups) for member in group)

    _put(lives, "_groups", singly)


def _decision() -> None:
    vars(walk)["turned"] = lambda predicate, mask, mark, bits, value: bits & mask


def _presumed() -> None:
    import markreg.node

    vars(markreg.node)["presumed"] = lambda *given, **more: ()


def _agreements() -> None:
    import markreg.checks.sharing

    vars(markreg.checks.sharing)["agreed"] = lambda *given: False


def _walks() -> None:
    class Nothing(walk.Walk):
        """A walk that gives up at once: tier 1 alone."""

        def run(self) -> Found:
            self.found.capped = True
            return self.found

    import markreg.paths.analysis

    vars(markreg.paths.analysis)["Walk"] = Nothing


INGREDIENTS: dict[str, Callable[[], None]] = {
    "nothing": lambda: None,
    "kills": _kills,
    "guards on marks": _marks,
    "classes of packets": _classes,
    "devices and protocols": _devices,
    "both orders": _orders,
    "decision test": _decision,
    "presumed uses": _presumed,
    "agreements": _agreements,
    "the walk (tier 1 alone)": _walks,
}


def controls(name: str) -> str:
    """How many of the controls come out wrong, missed and false."""
    code = (
        "import bench.ablation as a, sys; a.INGREDIENTS[sys.argv[1]]()\n"
        "from pathlib import Path; from tests.paths.test_controls import CONTROLS, WRITTEN, found, loud, parts\n"
        "missed = false = 0\n"
        "for c in CONTROLS:\n"
        "  for kind, (name, write) in WRITTEN.items():\n"
        "    code, colliding, excluded = parts(c); at = Path(sys.argv[2]) / f'{c.stem}-{kind}'; at.mkdir()\n"
        "    missed += code not in loud(found(at / 'a', {name: write(colliding)}))\n"
        "    false += bool(loud(found(at / 'b', {name: write(excluded)})))\n"
        "print(f'{2 * len(CONTROLS)} pairs, missed {missed}, false {false}')\n"
    )
    with TemporaryDirectory() as folder:
        done = subprocess.run([sys.executable, "-c", code, name, folder], capture_output=True, text=True, check=False)
    return done.stdout.strip() or done.stderr.strip()[-200:]


def incidents(name: str, folders: list[str]) -> str:
    """The totals of incidents.py."""
    script = Path(folders[0]).resolve().parent / "tools" / "incidents.py"
    command = f"{sys.executable} -m bench.ablation --as {name.replace(' ', '_')}"
    done = subprocess.run([sys.executable, script, "--markreg", command, *folders], capture_output=True, text=True, check=False)
    return (done.stdout.strip().splitlines() or [done.stderr[-200:]])[-1]


def main() -> None:
    """Prints the table, or runs markreg."""
    if sys.argv[1:2] == ["--as"]:
        INGREDIENTS[sys.argv[2].replace("_", " ")]()
        sys.argv[1:3] = []
        from markreg.cli import main as run

        run()
        return
    for name in INGREDIENTS:
        told = f"; {incidents(name, sys.argv[1:])}" if len(sys.argv) > 1 else ""
        print(f"without {name:24} {controls(name)}{told}", flush=True)


if __name__ == "__main__":
    main()
