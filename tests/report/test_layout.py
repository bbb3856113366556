"""Text for terminals: what it says first and last, how wide it is, and that nothing harmful or unprintable is in it."""

from __future__ import annotations

import io
import re
import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markreg import report
from markreg.model import Audit, Component, Finding, Input, Location, Node, Owned, Place, Scope, Use
from markreg.report import Options, concise, markdown, text
from markreg.report.parts.snippet import columns
from markreg.report.parts.terminal import detect, wrap
from markreg.transfer import masked_set
from tests.report.samples import SAMPLES, clean, collision, hostile, incomplete, no_marks

WORDS = st.text(st.characters(codec=None, exclude_categories=()), max_size=30) | st.text(
    "ab \t\n\x1b\u202e\u200b漢é\udcff`|<@#", max_size=150
)
NUMBER = st.integers(0, 400)


@st.composite
def audits(draw: st.DrawFn) -> Audit:
    """A small audit whose every text may hold anything."""

    def say() -> str:
        return draw(WORDS)

    mask = draw(st.integers(1, 0xFFFFFFFF))
    place = Place("netfilter", say(), "ip", "", say(), say())
    use = Use("skb_mark", "write", mask, place, Scope(say()), say(), (draw(NUMBER),), say(), masked_set("skb_mark", 32, mask, 0))
    uses = tuple(Owned(f"u{n}", use, say(), say(), say()) for n in range(draw(st.integers(0, 2))))
    places = tuple(
        Location(
            draw(st.sampled_from(["writer", "reader", "victim", "carrier", ""])),
            say(),
            say(),
            say(),
            draw(NUMBER),
            draw(NUMBER),
            draw(NUMBER),
            say(),
            "u0",
        )
        for _ in range(draw(st.integers(0, 2)))
    )
    path: tuple[dict[str, object], ...] = ({"step": say(), "place": say(), "assumes": [say()]},)
    finding = Finding("MK101", "error", say(), "skb_mark", mask, (say(),), places, say(), draw(NUMBER), path, say())
    node = Node(
        (Input(say(), say(), Scope(), 1, 1, draw(st.integers(0, 1))),), (Component(say(), "low", (say(), say()), say(), say()),), uses
    )
    return Audit(node, (finding,) * draw(st.integers(0, 1)), draw(st.booleans()), say(), say())


@given(audits(), st.booleans(), st.booleans(), st.booleans())
def test_no_control_character_gets_out(audit: Audit, unicode: bool, quiet: bool, verbose: bool) -> None:
    options = Options(unicode=unicode, quiet=quiet, verbose=verbose)
    for module in (text, concise, markdown):
        printed = module.render(audit, options, {})
        bad = {char for char in printed if char != "\n" and unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")}
        assert not bad
        assert unicode or printed.isascii()
        assert not printed or printed.endswith("\n")


@given(audits(), st.booleans(), st.sampled_from([80, 100]))
def test_no_line_is_wider_than_the_terminal(audit: Audit, unicode: bool, width: int) -> None:
    for line in text.render(audit, Options(unicode=unicode, width=width, verbose=True), {}).split("\n"):
        if line.lstrip().startswith(("--> ", "::: ", "┌─ ", "├─ ")):
            continue  # a path is never broken, or no editor would find it
        assert columns(line) <= width or max(columns(word) for word in line.split(" ")) > width - 10


@given(audits())
def test_colour_changes_nothing_but_colour(audit: Audit) -> None:
    plain = text.render(audit, Options(), {})
    painted = text.render(audit, Options(color=True), {})
    stripped = "\n".join(line.rstrip() for line in re.sub("\x1b\\[[0-9;]*m", "", painted).split("\n"))
    assert stripped == plain


@given(audits())
def test_concise_has_one_line_a_finding(audit: Audit) -> None:
    assert concise.render(audit, Options(), {}).count("\n") == len(audit.findings)


def test_a_clean_audit_says_what_was_read() -> None:
    printed = text.render(clean()[0], Options(), {})
    assert printed.endswith("no findings in 2 inputs, 12 statements, 6 about marks\n")


def test_an_incomplete_audit_says_so_first_and_never_sounds_clean() -> None:
    audit = incomplete()[0]
    first, *_, last = text.render(audit, Options(), {}).splitlines()
    assert first == "incomplete: 14 mark statements in 2 inputs not understood"
    assert last.startswith("incomplete")
    assert text.render(audit, Options(quiet=True), {}) == first + "\n"
    limited = replace(clean()[0], complete=False)
    assert text.render(limited, Options(), {}).startswith("incomplete: ")
    assert "incomplete" in markdown.render(limited, Options(), {}).splitlines()[0]


def test_inputs_without_marks_are_said_to_have_none() -> None:
    assert "nothing here uses marks" in text.render(no_marks()[0], Options(), {})
    nothing = Audit(Node((), (), ()), (), True, "", "")
    assert "nothing was read" in text.render(nothing, Options(), {})


def test_quiet_prints_findings_and_totals_only() -> None:
    printed = text.render(collision()[0], Options(quiet=True), {})
    assert printed.startswith("error[MK101]") and printed.endswith("1 error, 1 warning, 1 note\n")
    assert text.render(clean()[0], Options(quiet=True), {}) == ""


@pytest.mark.parametrize("column", [1, 40, 400, 790])
@pytest.mark.parametrize("unicode", [True, False])
def test_carets_of_long_lines_stand_under_the_clause(column: int, unicode: bool) -> None:
    audit, _ = collision()
    line = ("\t漢 -m x " * 200)[: column - 1] + "--mark 0x1" + " -m y" * 100
    place = replace(audit.findings[0].locations[0], line=12345, column=column, end_column=column + 10, text=line)
    found = replace(audit, findings=(replace(audit.findings[0], locations=(place,)),))
    lines = text.render(found, Options(unicode=unicode), {}).splitlines()
    number = next(n for n, printed in enumerate(lines) if printed.startswith("12345 "))
    shown, carets = lines[number : number + 2]
    assert columns(shown[: shown.index("--mark 0x1")]) == carets.index("^")
    assert carets.count("^") == 10
    assert columns(shown) <= 80


def test_markdown_leaves_no_markup_outside_code() -> None:
    printed = markdown.render(hostile()[0], Options(), {})
    fenced = re.sub(r"(?ms)^(`{3,})text\n.*?^\1$", "", printed)
    outside = re.sub(r"(?s)(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "", fenced)
    assert not set("<>@[]`\\\x1b") & set(outside)
    rows = [line for line in fenced.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {3, 6}


@given(WORDS)
def test_a_message_cannot_open_markup(message: str) -> None:
    audit = hostile()[0]
    found = Audit(Node((), (), ()), (replace(audit.findings[0], message=message, help="", locations=(), path=()),), True, "", "")
    printed = markdown.render(found, Options(), {})
    outside = re.sub(r"(?s)(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "", printed)
    assert not set("<>@[]&\\_~") & set(outside)


def test_markdown_stays_within_a_comment() -> None:
    audit = collision()[0]
    printed = markdown.render(replace(audit, findings=audit.findings * 400), Options(), {})
    assert len(printed) < 65_536
    assert "more findings left out." in printed


def test_formats_are_found_by_their_modules() -> None:
    assert {"text", "concise", "json", "markdown"} <= set(report.names())
    for name in report.names():
        module = report.by_name(name)
        assert module is not None and name == module.NAME
    assert report.by_name("no-such") is None and report.by_name("parts") is None


@pytest.mark.parametrize("sample", SAMPLES)
def test_every_format_prints_every_sample(sample: str) -> None:
    audit, sources = SAMPLES[sample]()
    for name in report.names():
        module = report.by_name(name)
        assert module is not None
        assert module.render(audit, Options(), sources) == module.render(audit, Options(), sources)


def test_words_are_not_broken() -> None:
    assert wrap("aa bb cc", 7, "- ", "  ") == ["- aa bb", "  cc"]
    assert wrap("a" * 9 + " b", 8, "= help: ", "    ") == ["= help:", "a" * 9, "    b"]
    assert wrap("", 8) == [""]


class _Terminal(io.StringIO):
    encoding = "UTF-8"

    def isatty(self) -> bool:
        return True


def test_colour_is_for_terminals_that_want_it() -> None:
    assert not detect(io.StringIO(), "auto", {}).color
    assert detect(io.StringIO(), "always", {"NO_COLOR": "1"}).color
    assert detect(_Terminal(), "auto", {}).color
    assert not detect(_Terminal(), "auto", {"NO_COLOR": "1"}).color
    assert not detect(_Terminal(), "auto", {"TERM": "dumb"}).color
    assert not detect(_Terminal(), "never", {}).color
    assert detect(io.StringIO(), "auto", {}).width == 80
    assert not detect(io.StringIO(), "auto", {}).unicode and detect(_Terminal(), "auto", {}).unicode
