"""Small nft rule sets as people write them: which collide, and which a condition, a verdict or an order keeps apart."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from markreg.audit import audit
from markreg.inputs import gather
from markreg.registry.load import load
from markreg.resources import builtin_registry

CASES = Path(__file__).with_name("user.cases").read_text(encoding="utf-8").split("\n= ")[1:]
LOUD = ("MK101", "MK102", "MK103", "MK104", "MK105", "MK107")
TYPES = ("nat", "route")
RULES = "0:\tfrom all lookup local\n{}32766:\tfrom all lookup main\n"


def files(body: str) -> dict[str, str]:
    """The inputs of a case: one nft listing and, where it has routing rules, one of those."""
    tables: dict[str, list[str]] = {}
    rules = ""
    for line in filter(None, body.splitlines()):
        if line.startswith("rule "):
            rules += line.removeprefix("rule ").replace(": ", ":\t", 1) + "\n"
            continue
        head, _, text = line.partition(" | ")
        table, chain, *base = head.split()
        tables.setdefault(table, []).append(
            f"\tchain {chain} {{\n{hook(base)}" + "".join(f"\t\t{r}\n" for r in text.split(" ; ")) + "\t}\n"
        )
    listed = ""
    for table, chains in tables.items():
        family, _, name = table.rpartition("/")
        listed += f"table {family or 'ip'} {name} {{\n{''.join(chains)}}}\n"
    return ({"nft.txt": listed} if listed else {}) | ({"ip-rule.txt": RULES.format(rules)} if rules else {})


def hook(base: list[str]) -> str:
    """The line that makes a base chain; none for others."""
    if not base:
        return ""
    name, priority, *more = base
    kind = next((w for w in more if w in TYPES), "filter")
    device = next((f'device "{w.removeprefix("device=")}" ' for w in more if w.startswith("device=")), "")
    policy = "drop" if "drop" in more else "accept"
    return f"\t\ttype {kind} hook {name} {device}priority {priority}; policy {policy};\n"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.partition(":")[0])
def test_what_is_said_of_a_rule_set(case: str, tmp_path: Path) -> None:
    head, _, body = case.partition("\n")
    expected = head.partition(": ")[2]
    for name, text in files(body).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    findings = audit(gather([str(tmp_path)], io.BytesIO()), load(builtin_registry())).findings
    said = {f.code for f in findings if f.code in LOUD and f.severity != "note"}
    assert said == ({expected} - {"silent"})
    assert not {f.code for f in findings} & {"MK901", "MK902", "MK904"}
