"""Drawing on a correction layer: strokes, vessel tools, the layer itself, and the journal that loses none of them."""
