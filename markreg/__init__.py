"""markreg: who owns which bits of the packet mark, the connection mark and the connection label, and what collides."""

__version__ = "0.1.0"
