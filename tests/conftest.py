"""Settings of all tests: properties have no deadline, because machines that run them are shared."""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("markreg", deadline=None, max_examples=150)
settings.register_profile("thorough", deadline=None, max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "markreg"))
