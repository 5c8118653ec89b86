"""What is on the canvas: the chosen angiogram, the layers made from it, the grey levels that are seen."""
