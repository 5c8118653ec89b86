"""`python -m napari_vasomim [FILE …]` is `vasomim app [FILE …]`."""

from __future__ import annotations

import sys

from vasomim_core.__main__ import main  # whose import comes first: it leaves the working folder

if __name__ == "__main__":
    sys.argv.insert(1, "app")
    main()
