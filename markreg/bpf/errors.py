"""The one error of this package."""

from __future__ import annotations


class BpfError(ValueError):
    """Bytes that are no BPF object, or a damaged one. The message is for users."""
