"""The report of a comparison in the window: readable, complete, and nothing from elsewhere."""

from __future__ import annotations

import pytest
import yaml
from PIL import Image
from qtpy.QtCore import QUrl
from qtpy.QtWidgets import QFileDialog

from napari_vasomim.widgets.comparison_report import WIDTH, ComparisonReport
from napari_vasomim.widgets.runs import Runs
from vasomim_core.errors import ConfigError

IMAGE = 2  # QTextDocument's ImageResource
REPORT = """# Methods compared

| row | DSC |
| --- | --- |
| MAE | 40.16 ± 4.16 |

Not there yet: HPM.

![frames](pictures/frames.png)

<b>no markup</b>
"""


@pytest.fixture
def out(tmp_path):
    """A comparison of two rows, one of which is scored, with its report."""
    folder = tmp_path / "runs" / "compared"
    for name in ("pictures", "tables", "scores/frames/mae/seed-0"):
        (folder / name).mkdir(parents=True)
    settings = {"data": [str(tmp_path / "frames")], "methods": ["mae", "hpm"], "seeds": 1}
    (folder / "compare.yaml").write_text(yaml.safe_dump(settings))
    (folder / "scores/frames/mae/seed-0/scores.csv").write_text("frame,dsc\n")
    (folder / "tables" / "frames.csv").write_text("row,dsc,dsc_std\nmae,40.16,4.16\n")
    Image.new("RGB", (2 * WIDTH, 100), "red").save(folder / "pictures" / "frames.png")
    Image.new("RGB", (8, 8), "red").save(tmp_path / "runs" / "outside.png")
    (folder / "report.md").write_text(REPORT)
    return folder


def test_words_tables_and_pictures_have_a_page_each_and_what_is_missing_is_said(out, qtbot):
    window = ComparisonReport(out)
    qtbot.addWidget(window)
    assert [window.pages.tabText(i) for i in range(window.pages.count())] == [
        "Report", "Table: frames", "Picture: frames",
    ]  # fmt: skip
    assert "HPM (0 of 1)" in window.state.text()
    assert "40.16 ± 4.16" in window.text.toPlainText()
    assert "| row |" not in window.text.toPlainText()  # a table, not its source
    assert "<b>" in window.text.toPlainText()
    table = window.pages.widget(1)
    assert [table.item(0, column).text() for column in range(3)] == ["mae", "40.16", "4.16"]
    assert window.pages.widget(2).widget().pixmap().width() == 2 * WIDTH
    assert window.text.loadResource(IMAGE, QUrl("pictures/frames.png")).width() == WIDTH
    for foreign in ("https://example.org/a.png", "../outside.png", f"file://{out}/pictures/frames.png"):
        assert window.text.loadResource(IMAGE, QUrl(foreign)) is None
    window.pages.setCurrentIndex(1)
    (out / "report.md").unlink()
    window.refresh()
    assert window.pages.tabText(window.pages.currentIndex()) == "Table: frames"
    assert "no report yet" in window.state.text()


def test_it_is_found_beside_the_runs(out, qtbot, model, monkeypatch, notifications):
    from napari_vasomim.session import Session

    runs = Runs(Session.of(model), "pretrain")
    qtbot.addWidget(runs)
    runs.folder = out.parent / "nowhere"
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *a: str(out))
    runs.open_comparison()
    (window,) = runs.findChildren(ComparisonReport)
    assert window.out == out
    assert window.isVisible()
    window.close()
    with pytest.raises(ConfigError, match="no comparison"):
        ComparisonReport(out.parent)
