"""From a label set to each layout and back: equal masks, classes and groups."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from tests.core.exchange.conftest import THREE, drawn
from tests.core.labels.made import frame
from vasomim_core.errors import LabelError
from vasomim_core.exchange.formats import INCOMING, OUTGOING, From, To, hand_over, labelled, recognised
from vasomim_core.exchange.importing import carry_out, import_labels, plan_import
from vasomim_core.labels.labelled import open_labels
from vasomim_core.labels.labelset import LabelSet
from vasomim_core.labels.mask import mask_sha256

LAYOUTS: list[To] = ["coco", "nnunet", "pairs"]


def content(labels: LabelSet) -> set[tuple]:
    return {
        (r.frame_sha256, r.frame_index, r.group, mask_sha256(labels.class_mask(r.id), labels.classes))
        for r in labels.records("accepted")
    }


def test_the_registries_have_what_the_options_offer() -> None:
    assert set(get_args(From)) == set(INCOMING)
    assert set(get_args(To)) == set(OUTGOING)


@pytest.mark.parametrize("to", LAYOUTS)
def test_a_set_comes_back_equal(labels: LabelSet, tmp_path: Path, to: To) -> None:
    told = []
    written = hand_over(labelled(labels.folder), to, tmp_path / "out", lambda *step: told.append(step))
    assert (written.frames, len(written.names), told[-1]) == (6, 6, (6, 6))
    assert recognised(tmp_path / "out") == to
    again = plan_import(labelled(tmp_path / "out"), labels)
    assert (again.new, again.same, again.conflicting, again.left) == ((), 6, (), ())
    plan = plan_import(labelled(tmp_path / "out"), None)
    back = LabelSet.create(tmp_path / "back", "back", plan.classes)
    assert len(carry_out(plan, back).added) == 6
    assert back.classes == THREE
    assert content(back) == content(labels)
    assert back.check() == []


@pytest.mark.parametrize("to", ["coco", "pairs"])
def test_training_sees_the_same_groups(labels: LabelSet, tmp_path: Path, to: To) -> None:
    hand_over(labelled(labels.folder), to, tmp_path / "out")

    def groups(folder: Path) -> dict[str, str]:
        return {f.name: f.group for f in open_labels(folder, categories=True)}

    assert groups(tmp_path / "out") == groups(labels.folder)
    assert len(set(groups(labels.folder).values())) == 4


def test_another_set_comes_with_who_drew_it(labels: LabelSet, tmp_path: Path) -> None:
    other = LabelSet.create(tmp_path / "other", "other", THREE)
    labels.update_mask(labels.find(frame(0)).id, drawn(9), "B", "vasomim-demo")  # type: ignore[union-attr]
    plan = plan_import(labelled(labels.folder), other)
    assert any("1 frames" in note and "not accepted" in note for note in plan.notes)
    carry_out(plan, other)
    assert content(other) == content(labels)
    record = other.find(frame(0))
    assert record is not None
    assert (record.annotator, record.model) == ("B", "vasomim-demo")
    with pytest.raises(LabelError, match="itself"):
        plan_import(labelled(labels.folder), labels)


def test_masks_of_images_come_in_by_name(pairs: Path, tmp_path: Path) -> None:
    (pairs / "masks").rename(tmp_path / "found")
    (pairs / "images").rename(tmp_path / "frames")
    labels = LabelSet.create(tmp_path / "set", "x")
    with pytest.raises(LabelError, match="holds no labels"):
        labelled(tmp_path / "found").sources()
    assert len(import_labels(labelled(tmp_path / "found", images=tmp_path / "frames"), labels).added) == 4
    one = labelled(tmp_path / "found" / "0.png", images=tmp_path / "frames" / "0.png")
    assert plan_import(one, labels).same == 1
    with pytest.raises(LabelError, match="taken for masks: name the angiograms"):
        labelled(tmp_path / "found" / "0.png")
    with pytest.raises(LabelError, match="one angiogram"):
        labelled(tmp_path / "found" / "0.png", images=tmp_path / "frames").sources()
    (tmp_path / "found" / "1.png").unlink()
    with pytest.raises(LabelError, match=r"1\.png has no mask"):
        labelled(tmp_path / "found", images=tmp_path / "frames").sources()


def test_a_label_set_is_found_again_on_its_angiograms(labels: LabelSet, pairs: Path, tmp_path: Path) -> None:
    """`pairs` has the frames 0 to 3 as stills, of which the set knows 0 and 2 as such."""
    folder = labelled(labels.folder, images=pairs / "images")
    assert sorted(source.name for source in folder.sources()) == ["0", "2"]
    assert folder.notes() == ("4 of 6 accepted labels are of none of these angiograms.",)
    hand_over(folder, "pairs", tmp_path / "out")
    assert plan_import(labelled(tmp_path / "out"), labels).same == 2
    with pytest.raises(LabelError, match="None of the 6 accepted labels"):
        labelled(labels.folder, images=pairs / "masks").sources()
    with pytest.raises(LabelError, match="frames of its own"):
        labelled(pairs, "pairs", images=pairs / "images")


@pytest.mark.parametrize("to", LAYOUTS)
def test_what_is_broken_off_leaves_nothing(labels: LabelSet, tmp_path: Path, to: To) -> None:
    class Enough(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise Enough

    with pytest.raises(Enough):
        hand_over(labelled(labels.folder), to, tmp_path / "out" / "in", stop)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("to", LAYOUTS)
def test_file_names_stay_outside(pairs: Path, tmp_path: Path, to: To) -> None:
    for part in ("images", "masks"):
        (pairs / part / "0.png").rename(pairs / part / "Doe^Jane.png")
    hand_over(labelled(pairs), to, tmp_path / "out")
    for path in (tmp_path / "out").rglob("*"):
        assert "Doe" not in path.name
        assert path.suffix != ".json" or "Doe" not in path.read_text()


def test_frames_of_the_same_pixels_keep_apart(pairs: Path, tmp_path: Path) -> None:
    (pairs / "images" / "1.png").write_bytes((pairs / "images" / "0.png").read_bytes())
    written = hand_over(labelled(pairs), "pairs", tmp_path / "out")
    assert len(set(written.names)) == 4
    plan = plan_import(labelled(tmp_path / "out"), None)
    assert len(plan.new) == 3
    assert len(plan.left) == 1
    assert "second time" in plan.left[0]
