"""``python -m markreg``."""

import sys

from markreg.cli import main

sys.exit(main())
