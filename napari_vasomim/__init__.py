"""The napari plugin: see vessels, correct them, teach a model. A thin face over `vasomim_core`.

torch never loads in the process of the window: its import alone holds the interpreter for 300 ms.
"""
