"""What the clauses of an iptables rule do to marks: grammar/iptables.lark gives the words, this module their meaning.

The functions are those of the kernel: net/netfilter/xt_mark.c, xt_connmark.c, xt_connlabel.c, xt_TPROXY.c, xt_HMARK.c,
xt_socket.c, xt_set.c, xt_CT.c, nfnetlink_queue.c and net/bridge/netfilter/ebt_mark.c.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, cast

from markreg.bits import BitsError, full, parse_word
from markreg.model import CT_LABEL, CT_MARK, SKB_MARK, Access
from markreg.resources import grammar
from markreg.transfer import Predicate, Word, masked_set

if TYPE_CHECKING:
    from lark import Lark, Token, Tree

SK_MARK = "sk_mark"
_ALL = full(32)
# Far more than the kernel takes in one rule; the grammar needs 20 µs a word.
_LONGEST = 16384
# linux/filter.h SKF_AD_OFF + SKF_AD_MARK
_CBPF_LOAD_MARK = "4294963220"


class ClauseError(ValueError):
    """A clause that mentions a mark and has no meaning here; the message says why."""


@dataclass(frozen=True, slots=True)
class Clause:
    """One effect of a rule on one field, with the text that says it. ``set_name``: the ipset that holds what the text does not."""

    field: str
    access: Access
    mask: int
    text: str = ""
    effect: Word | None = None
    predicate: Predicate | None = None
    values: tuple[tuple[int, int], ...] = ()
    possible: bool = False
    set_name: str = ""


@dataclass(frozen=True, slots=True)
class Parsed:
    """A rule: its mark clauses in order, where it jumps, and whether ``target`` is a name that may stand for an unknown mark target."""

    clauses: tuple[Clause, ...]
    target: str = ""
    goto: bool = False
    odd_target: bool = False


@cache
def _parser() -> Lark:
    from lark import Lark

    return Lark(grammar("iptables"), parser="lalr", lexer="contextual", propagate_positions=True)


@lru_cache(maxsize=65536)
def parse(body: str, hexadecimal: bool = False) -> Parsed:
    """A rule's text after its chain. ``hexadecimal``: numbers carry no 0x, as arptables prints them.

    Raises ClauseError for a rule that mentions a mark in a way this module does not know.
    """
    from lark.exceptions import UnexpectedInput

    if len(body) > _LONGEST:
        raise ClauseError(f"a rule of {len(body)} characters")
    try:
        tree = _parser().parse(body)
    except UnexpectedInput as error:
        at = getattr(error, "pos_in_stream", None)
        ended = at is None or getattr(getattr(error, "token", None), "type", "") == "$END"
        raise ClauseError("the rule ends too early" if ended else f"unexpected {body[at:].split(None, 1)[0][:40]!r}") from None
    result: list[Clause] = []
    verb = target = option = ""
    for piece in cast("list[Tree[Token]]", tree.children):
        words = list(_tokens(piece))
        if piece.data == "other":
            word = str(words[0])
            if option in _JUMPS:
                verb, target = option, word
            elif _MARK_OPTION.fullmatch(word) and option != "--comment":
                raise ClauseError(f"{word} belongs to no known match or target")
            elif attached := _ATTACHED.fullmatch(word):
                verb, target = attached.groups()
            option = word
            continue
        option = ""
        if words[0].startswith("-j"):
            verb, target = "-j", words[0].split()[-1].removeprefix("-j")
        try:
            made = _MAKERS[piece.data](_Words(words, hexadecimal))
        except BitsError as error:
            raise ClauseError(str(error)) from None
        # Addresses stand between some targets and their options: where they do, the options are the clause.
        start = words[-2].start_pos if any(w.type == "BETWEEN" for w in words) else piece.meta.start_pos
        text = body[start : piece.meta.end_pos]
        result.extend(replace(clause, text=text) for clause in made)
    odd = target.upper().endswith("MARK") and target not in _KNOWN_TARGETS
    return Parsed(tuple(result), target, verb in ("-g", "--goto"), odd)


def _tokens(tree: Tree[Token]) -> Iterator[Token]:
    for child in tree.children:
        if isinstance(child, str):
            yield child
        else:
            yield from _tokens(child)


_JUMPS = ("-j", "--jump", "-g", "--goto")
_ATTACHED = re.compile(r"(-[jg])([^-\s]\S*)")
_MARK_OPTION = re.compile(r"--[a-z0-9-]*(?:mark|label)[a-z0-9-]*")
# Those with MARK in their name that the grammar knows, and those that touch the security mark, another word (xt_SECMARK.c).
_KNOWN_TARGETS = {"MARK", "CONNMARK", "HMARK", "IPMARK", "mark", "SECMARK", "CONNSECMARK"}


class _Words:
    """A clause's words, asked by the type that the grammar gives them."""

    def __init__(self, words: list[Token], hexadecimal: bool) -> None:
        self.words = words
        self.hexadecimal = hexadecimal

    def has(self, kind: str) -> bool:
        return any(w.type == kind for w in self.words)

    def option(self, *names: str) -> str | None:
        """The word after the last option with one of these names."""
        found = None
        for word, after in pairwise(self.words):
            if word in names:
                found = str(after)
        return found

    def number(self, text: str) -> int:
        return parse_word(f"0x{text.removeprefix('0x')}" if self.hexadecimal else text, 32)

    def pair(self, text: str) -> tuple[int, int | None]:
        value, slash, mask = text.partition("/")
        return self.number(value), self.number(mask) if slash else None


def _read(field: str, value: int, mask: int, negated: bool) -> Clause:
    return Clause(field, "read", mask, predicate=Predicate.equals(field, value, mask, negated))


def _write(field: str, effect: Word, **more: object) -> Clause:
    copied = any(source.symbol != field for source, _ in effect.copies)
    changed = full(effect.width) & ~effect.keeps(field)
    return replace(Clause(field, "copy" if copied else "write", changed, effect=effect), **more)  # type: ignore[arg-type]


def _match(field: str) -> Callable[[_Words], list[Clause]]:
    def make(words: _Words) -> list[Clause]:
        value, mask = words.pair(str(words.words[-1]))
        return [_read(field, value, _ALL if mask is None else mask, words.has("BANG"))]

    return make


def _eb_match(words: _Words) -> list[Clause]:
    text = str(words.words[-1])
    if text.startswith("/"):  # mask alone: any of its bits set (ebt_mark_m.c EBT_MARK_OR)
        mask = words.number(text[1:])
        zero = Predicate.equals(SKB_MARK.name, 0, mask, not words.has("BANG"))
        return [Clause(SKB_MARK.name, "read", mask, predicate=zero)]
    return _match(SKB_MARK.name)(words)


def _set_masks(words: _Words) -> tuple[int, int]:
    """What the operation clears and what it flips."""
    option, text = next((str(w), str(v)) for w, v in pairwise(words.words) if w.type == "MARK_OP")
    value, mask = words.pair(text)
    if mask is not None and option not in ("--set-mark", "--set-xmark"):
        raise BitsError(f"{option} takes no mask")
    if option == "--and-mark":
        return _ALL & ~value, 0
    if option == "--or-mark":
        return value, value
    if option == "--xor-mark":
        return 0, value
    mask = _ALL if mask is None else mask
    return mask | value if option == "--set-mark" else mask, value


def _mark_target(words: _Words) -> list[Clause]:
    return [_write(SKB_MARK.name, masked_set(SKB_MARK.name, 32, *_set_masks(words)))]


def _connmark_target(words: _Words) -> list[Clause]:
    modes = [w for w in words.words if w.type in ("MARK_OP", "SAVE", "RESTORE")]
    if len(modes) != 1:
        raise BitsError("CONNMARK takes one of set, save and restore")
    shift = 0
    for word, after in pairwise(words.words):
        if word.type == "SHIFT":
            shift = words.number(str(after)) * (1 if word == "--left-shift-mark" else -1)
    if abs(shift) > 31:
        raise BitsError(f"a shift by {abs(shift)} is outside a word of 32 bits")
    if modes[0].type == "MARK_OP":
        clear, flip = _set_masks(words)
        # libxt_CONNMARK.c: a mask of its own takes the place of the one that stands before it.
        for word, after in pairwise(words.words[words.words.index(modes[0]) :]):
            if word in ("--mask", "--ctmask"):
                clear = words.number(str(after))
        return [_write(CT_MARK.name, masked_set(CT_MARK.name, 32, clear, flip).shifted(shift))]
    nfmask = _optional_mask(words, "--nfmask")
    ctmask = _optional_mask(words, "--ctmask")
    if modes[0].type == "SAVE":
        target, own, source, taken = CT_MARK.name, ctmask, SKB_MARK.name, nfmask
    else:
        target, own, source, taken = SKB_MARK.name, nfmask, CT_MARK.name, ctmask
    moved = (Word.entry(source, 32) & Word.const(taken, 32)).shifted(shift)
    effect = masked_set(target, 32, own, 0) ^ moved
    return [_write(target, effect), Clause(source, "read", taken)]


def _optional_mask(words: _Words, name: str) -> int:
    text = words.option(name, "--mask")
    return _ALL if text is None else words.number(text)


def _connlabel(words: _Words) -> list[Clause]:
    text = str(next(w for w in words.words if w.type in ("VALUE", "QUOTED"))).strip('"')
    if not text[:1].isdigit():
        raise BitsError(f"label {text!r} is a name; its number is in connlabel.conf")
    label = words.number(text)
    if label >= CT_LABEL.width:
        raise BitsError(f"label {text} is outside a field of {CT_LABEL.width} bits")
    bit = 1 << label
    if words.has("LABEL_SET"):  # and then the rule matches whatever the bit was: connlabel_mt
        return [_write(CT_LABEL.name, masked_set(CT_LABEL.name, CT_LABEL.width, bit, bit))]
    return [_read(CT_LABEL.name, bit, bit, words.has("BANG"))]


def _socket(words: _Words) -> list[Clause]:
    return [_write(SKB_MARK.name, Word.entry(SK_MARK, 32))] if words.has("RESTORE_SKMARK") else []


def _rpfilter(words: _Words) -> list[Clause]:
    return [Clause(SKB_MARK.name, "read", _ALL)] if words.has("VALIDMARK") else []


def _set_match(words: _Words) -> list[Clause]:
    name = str(next(w for w in words.words if w.type == "VALUE"))
    return [Clause(SKB_MARK.name, "read", _ALL, set_name=name, possible=True)]


def _bpf(words: _Words) -> list[Clause]:
    """A classic BPF program matches where it returns something else than 0 (net/netfilter/xt_bpf.c bpf_mt)."""
    from markreg.bpf.classic import parse, questions
    from markreg.bpf.errors import BpfError

    text = str(words.words[-1]).strip('"')
    if f" {_CBPF_LOAD_MARK}" not in text:
        return []
    try:
        found = questions(parse(text))
    except BpfError as error:
        raise BitsError(str(error)) from None
    clauses = []
    rest = found.reads
    for asked, holds in found.needs:
        test = Predicate(SKB_MARK.name, asked.mask, asked.accepts, asked.value, asked.negated)
        rest &= ~asked.mask
        clauses.append(Clause(SKB_MARK.name, "read", asked.mask, predicate=test if holds else test.inverse()))
    return [*clauses, Clause(SKB_MARK.name, "read", rest)] if rest else clauses


def _tproxy(words: _Words) -> list[Clause]:
    text = words.option("--tproxy-mark")
    if text is None:
        return []
    value, mask = words.pair(text)
    mask = _ALL if mask is None else mask
    return [_write(SKB_MARK.name, masked_set(SKB_MARK.name, 32, mask, value))] if mask | value else []


def _hmark(words: _Words) -> list[Clause]:
    modulus, offset = words.option("--hmark-mod"), words.option("--hmark-offset")
    if modulus is None or not (count := words.number(modulus)):
        raise BitsError("HMARK without --hmark-mod")
    low = words.number(offset) if offset else 0
    high = low + count - 1
    values: tuple[tuple[int, int], ...] = ((low, high),)
    if high > _ALL:  # the sum is taken in 32 bits
        values = ((0, high & _ALL), (low, _ALL))
    varying = full((low ^ high).bit_length())
    effect = Word.unknown(32).masked_into(Word.const(low, 32), varying)
    return [_write(SKB_MARK.name, effect, values=values)]


def _set_target(words: _Words) -> list[Clause]:
    if not words.has("MAP_MARK"):
        return []
    name = words.option("--map-set") or ""
    effect = Word.unknown(32) | Word.entry(SKB_MARK.name, 32)
    return [Clause(SKB_MARK.name, "write", _ALL, effect=effect, set_name=name, possible=True)]


def _ct_target(words: _Words) -> list[Clause]:
    # The zone is the low 16 bits of the packet's mark (nf_conntrack_zones.h nf_ct_zone_tmpl).
    from_mark = any(w.type == "ZONE" and v == "mark" for w, v in pairwise(words.words))
    return [Clause(SKB_MARK.name, "read", 0xFFFF)] if from_mark else []


def _queue(words: _Words) -> list[Clause]:
    effect = Word.unknown(32) | Word.entry(SKB_MARK.name, 32)
    return [Clause(SKB_MARK.name, "write", _ALL, effect=effect, possible=True)]


def _ipmark(words: _Words) -> list[Clause]:
    """xtables-addons: mark = ((address >> shift) & and) | or."""
    kept = words.number(words.option("--and-mask") or "0xffffffff")
    forced = words.number(words.option("--or-mask") or "0")
    effect = (Word.unknown(32) & Word.const(kept, 32)).bit_or(Word.const(forced, 32))
    return [_write(SKB_MARK.name, effect)]


def _eb_target(words: _Words) -> list[Clause]:
    operation, text = next((str(w), str(v)) for w, v in pairwise(words.words) if w.type == "EB_OP")
    value = words.number(text)
    clear, flip = {
        "set": (_ALL, value),
        "or": (value, value),
        "and": (_ALL & ~value, 0),
        "xor": (0, value),
    }[operation.strip("-").replace("mark", "").strip("-")]
    return [_write(SKB_MARK.name, masked_set(SKB_MARK.name, 32, clear, flip))]


_MAKERS: dict[str, Callable[[_Words], list[Clause]]] = {
    "mark": _match(SKB_MARK.name),
    "connmark": _match(CT_MARK.name),
    "connlabel": _connlabel,
    "socket": _socket,
    "rpfilter": _rpfilter,
    "set_match": _set_match,
    "bpf": _bpf,
    "mark_target": _mark_target,
    "connmark_target": _connmark_target,
    "tproxy": _tproxy,
    "hmark": _hmark,
    "set_target": _set_target,
    "ct_target": _ct_target,
    "queue": _queue,
    "ipmark": _ipmark,
    "eb_match": _eb_match,
    "eb_target": _eb_target,
}
