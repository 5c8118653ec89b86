"""From grey levels to vascular anatomy: vesselness filters and the binary mask extracted from them."""

from vasomim_core.anatomy.extraction import Robust, extract_anatomy
from vasomim_core.anatomy.lines import lines
from vasomim_core.anatomy.vesselness import frangi, sato

__all__ = ["Robust", "extract_anatomy", "frangi", "lines", "sato"]
