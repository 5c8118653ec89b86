"""What the documents tell people to run does run."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import vasomim_core as vm

ROOT = Path(__file__).resolve().parents[1]


def load(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def python_of(document: str, folder: Path, block: int = 0) -> str:
    """What a Python block of a document prints, run in a folder where napari is not found."""
    code = re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(encoding="utf-8"), re.DOTALL)[block]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT / "tests" / "windowless", ROOT)))}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_python_of_the_readme_runs_where_napari_is_not(tmp_path):
    assert re.search(r"DSC 0\.\d+", python_of("README.md", tmp_path))
    assert vm.load_model(tmp_path / "runs" / "tuned").card.segments
    images, masks = ({path.name for path in (tmp_path / part).iterdir()} for part in ("samples/images", "masks"))
    assert images == masks
    assert len(masks) == 10


def test_the_python_of_the_label_set_runs_and_makes_one(tmp_path):
    said = python_of("docs/labelset.md", tmp_path, block=1).splitlines()
    assert said == ["1 nobody vasomim-fast", "2 reader 1 None", "1 to learn from; all is as it should be"]
    labels = vm.LabelReader(tmp_path / "coronaries")
    assert [record.status for record in labels.records()] == ["accepted", "flagged", "flagged"]
    first, _, third = labels.revisions(labels.records("accepted")[0].id)
    assert (first.mask_sha256, first.model) == (third.mask_sha256, third.model)


def test_the_python_of_two_readers_settles_a_label(tmp_path):
    said = python_of("docs/labelset.md", tmp_path).splitlines()
    assert said == ["A – B vessel 1 0.927 0.952", "True 1"]


def test_the_python_of_in_and_out_takes_in_what_was_drawn(tmp_path):
    vm.write_samples(tmp_path / "drawn", 3, size=64)
    vm.LabelSet.create(tmp_path / "coronaries", "coronaries")
    said = python_of("docs/labelset.md", tmp_path, block=2).splitlines()
    assert said[0] == "3 new, 0 the same, 0 conflicting."
    assert said[-2:] == ["3", "3"]
    assert len(list((tmp_path / "plain" / "masks").iterdir())) == 3


def test_the_notebook_runs_and_every_figure_is_drawn():
    pytest.importorskip("nbclient")
    execute = load(ROOT / "docs" / "execute.py")
    notebook = execute.execute(execute.NOTEBOOK)
    pictures = [o for c in notebook.cells for o in c.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(pictures) == sum("plt.subplots" in cell.source for cell in notebook.cells) == 3


def test_the_notebook_that_is_kept_names_no_folder_of_a_machine():
    text = (ROOT / "docs" / "notebook.ipynb").read_text(encoding="utf-8")
    assert not re.search(r"/(tmp|home|root|usr|work)/", text)
    assert '"image/png"' in text


def test_the_reference_has_every_public_name(tmp_path):
    pytest.importorskip("pdoc")
    command = [sys.executable, "-m", "pdoc", "--docformat", "google", "--output-directory", tmp_path, "vasomim_core"]
    done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "vasomim_core.html").read_text(encoding="utf-8")
    assert all(f'id="{name}"' in page for name in vm.__all__)


@pytest.mark.parametrize(
    "document", ["README.md", "CONTRIBUTING.md", *(f"docs/{p.name}" for p in ROOT.glob("docs/*.md"))]
)
def test_links_between_documents_lead_somewhere(document):
    path = ROOT / document
    for target in re.findall(r"\]\((?!https?://)([^)#]+)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target


def test_every_room_stands_on_the_page_of_the_architecture():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rooms = {path.name for package in ("vasomim_core", "napari_vasomim") for path in (ROOT / package).iterdir()}
    rooms = {name for name in rooms if (ROOT / "vasomim_core" / name / "__init__.py").exists()} | {
        name for name in rooms if (ROOT / "napari_vasomim" / name / "__init__.py").exists()
    }
    assert [room for room in sorted(rooms) if f"`{room}/`" not in text] == []


def test_the_citation_names_the_paper_and_the_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == vm.__version__
    assert "2508.10794" in str(citation["references"])
