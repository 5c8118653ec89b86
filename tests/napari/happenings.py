"""What a person may do to the layers while something is computed for one of them."""

from __future__ import annotations

from napari_vasomim.canvas import layers

HAPPENINGS = ("deleted", "other chosen", "reordered", "renamed", "result deleted", "replaced")


def happen(happening, viewer, image, other, role):
    """Let one of `HAPPENINGS` happen to an image that has a result layer of this role, beside another image."""
    if happening == "deleted":
        viewer.layers.remove(image)
    elif happening == "other chosen":
        viewer.layers.selection.active = other
    elif happening == "reordered":
        viewer.layers.reverse()
    elif happening == "renamed":
        image.name = "b"
        layers.find(viewer, role, image).name = "c"
    elif happening == "replaced":
        image.data = image.data[:4, :200, :180]
    else:
        viewer.layers.remove(layers.find(viewer, role, image))
