"""Use → owner: by signatures, by what is present, by groups where nobody is known; and what present components are presumed to do."""

from markreg.attribution.attribute import NOBODY, attribute
from markreg.attribution.presumed import presumed

__all__ = ["NOBODY", "attribute", "presumed"]
