"""The engine of VasoMIM: angiograms, vascular anatomy, masked image modelling, segmentation.

    import vasomim_core as vm

    angiogram = vm.read_angiogram("run.dcm")
    model = vm.load_model("vasomim-every")
    vessels = model.predict(angiogram.grey(12)) >= model.threshold

All that this package shows is named in `__init__.pyi` and loaded at its first use: importing it is cheap, and torch
comes only with what computes by it (masking, models, inference, training).
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
