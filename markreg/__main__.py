"""``python -m markreg``."""

from markreg.cli import run

run()
