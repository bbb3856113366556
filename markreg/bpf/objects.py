"""From an object file to its programs: sections laid behind each other, calls and addresses resolved, types found."""

from __future__ import annotations

from dataclasses import dataclass
from struct import unpack_from

from markreg.bpf import btf as types
from markreg.bpf import elf
from markreg.bpf.context import CONTEXTS, OTHER, Context, by_section
from markreg.bpf.errors import BpfError
from markreg.bpf.image import Image, MapInfo, Program, Ref, Variable
from markreg.bpf.insn import LDDW, OP_CALL, PSEUDO_CALL, SIZE, Insn, decode, slots

_SUBPROGRAMS = ".text"
_MAPS = (".maps", "maps")


@dataclass(frozen=True, slots=True)
class Objects:
    """What an object file holds: its code, and its programs in the order of the sections."""

    image: Image
    programs: tuple[Program, ...]


@dataclass(frozen=True, slots=True)
class _Function:
    name: str
    section: elf.Section
    entry: int
    local: bool
    offset: int


def read(data: bytes) -> Objects:
    """The programs of the object in ``data``. Raises BpfError where it is damaged or none."""
    file = elf.read(data)
    bases: dict[int, int] = {}
    code: list[Insn] = []
    for section in file.sections:
        if section.type == elf.PROGBITS and section.flags & elf.EXECINSTR:
            bases[section.number] = len(code)
            code += decode(section.data, file.order)
    kinds, extension = _types(file)
    functions = _functions(file, bases)
    calls, refs = _resolved(file, bases, code)
    image = Image(
        code,
        file.order,
        calls,
        refs,
        {f.entry: f.name for f in functions},
        _maps(file, kinds),
        {s.name: s.data for s in file.sections if s.type == elf.PROGBITS and not s.flags & elf.EXECINSTR and _is_data(s.name)},
        _variables(file),
        [
            (bases[s.number] + at // SIZE, line)
            for s in file.sections
            if s.number in bases
            for at, line in extension.lines.pop(s.name, ())
            if line.number
        ],
        {
            bases[s.number] + at // SIZE: a
            for s in file.sections
            if s.number in bases
            for at, a in extension.accesses.pop(s.name, {}).items()
        },
        kinds.offset_of("nf_conn", "mark") if kinds else None,
        _kfuncs(kinds, calls),
    )
    called = {entry for entry in calls.values() if isinstance(entry, int)} | {r.offset for r in refs.values() if r.kind == "func"}
    programs = tuple(
        Program(f.name, image, f.entry, _context(f, kinds, extension), f.section.name)
        for f in functions
        if f.section.name != _SUBPROGRAMS and not (f.local and f.entry in called)
    )
    return Objects(image, programs)


def _is_data(name: str) -> bool:
    return name.startswith((".data", ".rodata", ".bss", ".kconfig"))


def _types(file: elf.Elf) -> tuple[types.Btf | None, types.Extension]:
    """What .BTF and .BTF.ext say; None and nothing where the object has none."""
    section, ext = file.section(".BTF"), file.section(".BTF.ext")
    if section is None:
        return None, types.Extension()
    kinds = types.parse(section.data, file.order)
    return kinds, types.extension(ext.data, kinds) if ext else types.Extension()


def _functions(file: elf.Elf, bases: dict[int, int]) -> list[_Function]:
    """Functions by their symbols, in the order of their code; of several at one place the global one."""
    found: dict[int, _Function] = {}
    for symbol in file.symbols:
        if symbol.type != elf.FUNC or symbol.section not in bases:
            continue
        section = file.sections[symbol.section]
        if symbol.value % SIZE or symbol.value >= len(section.data):
            raise BpfError(f"the function {symbol.name} is outside its section {section.name}")
        entry = bases[symbol.section] + symbol.value // SIZE
        if entry not in found or found[entry].local:
            found[entry] = _Function(symbol.name, section, entry, symbol.local, symbol.value)
    return [found[entry] for entry in sorted(found)]


def _resolved(file: elf.Elf, bases: dict[int, int], code: list[Insn]) -> tuple[dict[int, int | str], dict[int, Ref]]:
    """Where calls go, and what lddw loads."""
    calls: dict[int, int | str] = {}
    refs: dict[int, Ref] = {}
    for number, base in bases.items():
        size = len(file.sections[number].data)
        for offset, kind, symbol in file.relocations.get(number, ()):
            if offset % SIZE or offset >= size:
                raise BpfError(f"a relocation of {file.sections[number].name} is outside of it")
            pc = base + offset // SIZE
            insn = code[pc]
            if kind not in (elf.R_64_64, elf.R_64_32):
                continue
            if insn.op == LDDW:
                refs[pc] = _address(file, bases, symbol, insn)
            elif insn.op == OP_CALL:
                calls[pc] = _callee(bases, symbol, insn)
    for pc, insn in slots(code):
        if insn.op == OP_CALL and insn.src == PSEUDO_CALL and pc not in calls:
            calls[pc] = pc + 1 + insn.imm
    for pc, target in list(calls.items()):
        if isinstance(target, int) and not 0 <= target < len(code):
            raise BpfError(f"the call at instruction {pc} goes outside the code")
    return calls, refs


def _address(file: elf.Elf, bases: dict[int, int], symbol: elf.Symbol, insn: Insn) -> Ref:
    name = file.sections[symbol.section].name if 0 < symbol.section < len(file.sections) else ""
    if symbol.section in bases:
        return Ref("func", symbol.name, bases[symbol.section] + (symbol.value + (insn.imm if symbol.type == elf.SECTION else 0)) // SIZE)
    if name in _MAPS:
        return Ref("map", symbol.name)
    if not name:
        return Ref("extern", symbol.name)
    # Against a section the instruction has the offset; against a symbol it is the symbol's own, the instruction adds to it.
    return Ref("data", name, symbol.value + insn.imm)


def _callee(bases: dict[int, int], symbol: elf.Symbol, insn: Insn) -> int | str:
    if symbol.section not in bases:
        return symbol.name
    base = bases[symbol.section]
    # Against a section the distance counts from its beginning; a function's symbol is the target itself.
    return base + (symbol.value // SIZE + insn.imm + 1 if symbol.type == elf.SECTION else symbol.value // SIZE)


def _variables(file: elf.Elf) -> dict[str, tuple[Variable, ...]]:
    found: dict[str, list[Variable]] = {}
    for symbol in file.symbols:
        if 0 < symbol.section < len(file.sections) and symbol.type in (elf.OBJECT, elf.NOTYPE) and symbol.name:
            name = file.sections[symbol.section].name
            if _is_data(name):
                found.setdefault(name, []).append(Variable(symbol.name, symbol.value, symbol.size))
    return {name: tuple(sorted(rows, key=lambda v: v.offset)) for name, rows in found.items()}


def _maps(file: elf.Elf, kinds: types.Btf | None) -> dict[str, MapInfo]:
    """Maps by their symbols: raw structures in ``maps``, types in ``.maps``."""
    found: dict[str, MapInfo] = {}
    for symbol in file.symbols:
        if not 0 < symbol.section < len(file.sections) or not symbol.name or symbol.type == elf.SECTION:
            continue
        section = file.sections[symbol.section]
        if section.name == "maps":
            # struct bpf_map_def begins with type, key size and value size.
            if symbol.value + 12 <= len(section.data):
                order = "<" if file.order == "little" else ">"
                found[symbol.name] = MapInfo(symbol.name, *unpack_from(order + "III", section.data, symbol.value))
        elif section.name == ".maps":
            found[symbol.name] = _typed_map(symbol.name, kinds)
    return found


def _typed_map(name: str, kinds: types.Btf | None) -> MapInfo:
    variable = kinds.find(name, types.VAR) if kinds else None
    if kinds is None or variable is None:
        return MapInfo(name)
    said = {"type": 0, "key_size": 0, "value_size": 0}
    for member in kinds.members(kinds.resolve(kinds.type(variable).ref)):
        pointer = kinds.type(kinds.resolve(member.type))
        if pointer.kind != types.PTR:
            continue
        if member.name in said:
            said[member.name] = kinds.array(kinds.resolve(pointer.ref))[1]
        elif member.name in ("key", "value"):
            said[f"{member.name}_size"] = kinds.size(pointer.ref)
    return MapInfo(name, said["type"], said["key_size"], said["value_size"])


def _kfuncs(kinds: types.Btf | None, calls: dict[int, int | str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name in {c for c in calls.values() if isinstance(c, str)}:
        number = kinds.find(name, types.FUNC) if kinds else None
        if kinds and number is not None:
            found[name] = min(len(kinds.members(kinds.type(number).ref)), 5)
    return found


def _context(function: _Function, kinds: types.Btf | None, extension: types.Extension) -> Context:
    """A program's type: that of its first parameter, and what its section is called where there are no types."""
    if kinds is None:
        return by_section(function.section.name)
    number = extension.functions.get(function.section.name, {}).get(function.offset)
    if number is None:
        number = kinds.find(function.name, types.FUNC)
    if number is None or kinds.type(number).kind != types.FUNC:
        return by_section(function.section.name)
    parameters = kinds.members(kinds.type(number).ref)
    if not parameters:
        return by_section(function.section.name)
    pointed = kinds.pointed(parameters[0].type)
    if pointed == "*":
        # A pointer to void says nothing, one to numbers is what tracing programs have.
        inner = kinds.type(kinds.resolve(parameters[0].type)).ref
        return by_section(function.section.name) if not kinds.resolve(inner) else OTHER
    return CONTEXTS.get(pointed, OTHER)
