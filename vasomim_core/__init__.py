"""The engine of VasoMIM: angiograms, vascular anatomy, masked image modelling, segmentation.

Importing this package is cheap: torch is loaded only by the modules that compute with it
(`masking`, `models`, `objectives`, `training`, `inference`).
"""

__version__ = "0.1.0"
