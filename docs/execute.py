"""Execute the notebook and write it back with its pictures: `python docs/execute.py` from a checkout, see `make docs`.

The kernel is spoken to over files, not over network ports.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import nbformat
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient

from vasomim_core.files import write_text

NOTEBOOK = Path(__file__).with_name("notebook.ipynb")


def execute(path: Path) -> nbformat.NotebookNode:
    """The notebook with what its cells give.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        kernel = AsyncKernelManager(transport="ipc", ip=f"{folder}/kernel", kernel_name="python3")
        kernel.kernel_spec.argv[0] = sys.executable
        NotebookClient(notebook, km=kernel, timeout=900, resources={"metadata": {"path": folder}}).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # the time of day says nothing
        if cell.cell_type == "code":  # warnings and progress, which name folders of this machine
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    return notebook


if __name__ == "__main__":
    write_text(NOTEBOOK, nbformat.writes(execute(NOTEBOOK)) + "\n")
