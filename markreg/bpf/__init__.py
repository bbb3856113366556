"""What programs in BPF do to packet marks: objects read, instructions interpreted over sets of possibilities for every bit.

``objects.read(data)`` gives the programs of an object file, `analyse` what one of them does. docs/architecture.md has the way.
"""

from __future__ import annotations

from markreg.bpf.context import CONTEXTS, OTHER, SK_BUFF, SOCK, Context, kernel_sk_buff
from markreg.bpf.errors import BpfError
from markreg.bpf.facts import Facts, Handed, Site, Test, WordFacts
from markreg.bpf.image import Image, MapInfo, Program, Ref
from markreg.bpf.memory import Constants
from markreg.bpf.whole import analyse, analyse_all

__all__ = [
    "CONTEXTS", "OTHER", "SK_BUFF", "SOCK", "BpfError", "Constants", "Context", "Facts", "Handed", "Image", "MapInfo", "Program", "Ref",
    "Site", "Test", "WordFacts", "analyse", "analyse_all", "kernel_sk_buff",
]  # fmt: skip
