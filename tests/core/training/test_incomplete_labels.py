"""Labels of main branches alone teach every vessel, and the main ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vasomim_core.classes import LabelClass
from vasomim_core.config import FinetuneConfig, Training
from vasomim_core.data.codes import BESIDE, DOUBTFUL, FAINT, LIKELY, NO_VESSEL, SOME_VESSEL, STRAY, UNKNOWN
from vasomim_core.errors import ConfigError, LabelError
from vasomim_core.files import write_png
from vasomim_core.labels.labelled import open_labels
from vasomim_core.labels.labelset import LabelSet
from vasomim_core.models.catalogue import read_card
from vasomim_core.models.registry import load_model
from vasomim_core.synthetic import synthesize
from vasomim_core.training.events import EventLog
from vasomim_core.training.finetune import finetune
from vasomim_core.training.finetune_data import material
from vasomim_core.training.packaging import PIECES, package
from vasomim_core.training.processes import Processes


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    """Synthetic frames with the thick vessels labelled alone."""
    folder = tmp_path_factory.mktemp("main")
    for n in range(8):
        drawn = synthesize((60, n), size=128, least_width=3)
        write_png(folder / "images" / f"{n}.png", drawn.frame)
        write_png(folder / "masks" / f"{n}.png", drawn.mask.astype(np.uint8) * 255)
    return folder


@pytest.fixture(scope="module")
def every(tmp_path_factory):
    folder = tmp_path_factory.mktemp("every")
    for n in range(3):
        drawn = synthesize((61, n), size=128, least_width=1)
        write_png(folder / "images" / f"{n}.png", drawn.frame)
        write_png(folder / "masks" / f"{n}.png", drawn.mask.astype(np.uint8) * 255)
    return folder


@pytest.fixture(scope="module")
def config(labels, tmp_path_factory):
    return FinetuneConfig(
        labels,
        tmp_path_factory.mktemp("runs") / "first",
        val=labels,
        architecture="unext",
        frame_size=96,
        input_size=64,
        variety="wide",
        complete=False,
        synthetic=0.3,
        contrast=0.4,
        synthetic_frames=3,
        training=Training(epochs=2, batch_size=4, device="cpu", precision="fp32"),
    )


@pytest.fixture(scope="module")
def first(config):
    finetune(config)
    return config.run


def prepared(config, folder):
    folder.mkdir()
    return material(replace(config, run=folder), EventLog(folder), Processes())


def codes_of(store) -> set[int]:
    return {int(value) for _, codes in store for value in np.unique(codes)}


def test_the_model_tells_main_and_other_branches_and_catheter_apart(first):
    card = read_card(first / "model.safetensors")
    assert [(one.name, one.vessel) for one in card.classes] == [
        ("main branch", True),
        ("other branch", True),
        ("catheter", False),
    ]
    assert card.options["outputs"] == 4
    assert card.preprocessing.class_thresholds == {"main branch": 0.5}
    assert (card.data["frames"], card.data["synthetic_frames"], card.data["contrast_frames"]) == (8, 3, 3)
    assert set(card.scores["validation"]) == {"frames", "dsc", "cldice"}


def test_what_it_learns_from_is_coded_for_what_it_says(config, tmp_path):
    found = prepared(config, tmp_path / "run")
    assert codes_of(found.labelled) <= {1, NO_VESSEL, LIKELY, FAINT, BESIDE, DOUBTFUL, STRAY}
    assert {1, NO_VESSEL} < codes_of(found.labelled)
    assert codes_of(found.others[0].store) == {0, 3, SOME_VESSEL}
    assert found.contrast is not None
    assert codes_of(found.contrast) == {SOME_VESSEL, UNKNOWN}
    assert codes_of(found.judged()) == {0, 1}
    frame, codes = found.labelled[0]
    assert (frame.shape, codes.shape) == ((96, 96), (192, 192))
    rows = found.batches(config)
    seen = {int(value) for n in range(8) for epoch in range(6) for value in rows[epoch, n]["mask"].unique()}
    assert {0, 1, 3, NO_VESSEL, SOME_VESSEL} <= seen


def test_a_teacher_completes_labels_and_teaches_frames_without(first, config, every, tmp_path):
    second = replace(
        config,
        run=tmp_path / "run",
        init=str(first),
        teacher=str(first),
        unlabelled=every / "images",
        unlabelled_share=0.3,
    )
    found = prepared(second, tmp_path / "looked at")
    assert codes_of(found.labelled) <= {1, NO_VESSEL, LIKELY, FAINT, BESIDE, DOUBTFUL}
    assert [one.share for one in found.others] == [0.3, 0.3]
    assert codes_of(found.others[1].store) <= {NO_VESSEL, SOME_VESSEL, FAINT, DOUBTFUL, UNKNOWN}
    finetune(second)
    card = read_card(second.run / "model.safetensors")
    assert card.data["unlabelled_frames"] == 3
    assert "teacher" not in card.config


def test_frames_can_be_left_out_by_name_with_all_of_their_group(config, labels, tmp_path):
    (tmp_path / "out").mkdir()
    for name in ("1.png", "5.png"):
        (tmp_path / "out" / name).touch()
    copy = replace(config, run=tmp_path / "run", leave_out=tmp_path / "out", synthetic=0, contrast=0)
    finetune(copy)
    assert read_card(tmp_path / "run" / "model.safetensors").data["frames"] == 6
    (tmp_path / "none").mkdir()
    with pytest.raises(LabelError, match="named like"):
        finetune(replace(copy, run=tmp_path / "again", leave_out=tmp_path / "none"))


def test_unlabelled_frames_need_a_teacher(config, every, tmp_path):
    with pytest.raises(ConfigError, match="teacher"):
        finetune(replace(config, run=tmp_path / "run", unlabelled=every / "images"))


def test_it_is_packaged_with_a_threshold_for_each_of_the_two(first, labels, every, tmp_path):
    packaged = tmp_path / "given.safetensors"
    scores = package(first, open_labels(labels), packaged, every=open_labels(every))
    card, model = read_card(packaged), load_model(packaged, "cpu")
    assert set(card.scores) == {"every vessel", "main branches"}
    assert (card.scores["every vessel"]["frames"], scores["main"]["frames"]) == (3, 8)
    assert card.preprocessing.class_thresholds["main branch"] >= card.preprocessing.threshold
    frame = open_labels(labels)[0].frame()
    found = model.predict_classes(frame)
    whole, main = (model.vessels(found, which)[1] for which in ("every", "main"))
    assert not (main & ~whole).any()
    colours, p = model.class_mask(found), found.classes
    assert not (main & (colours != 1)).any()
    # Beyond its threshold a main branch has the rim in which it is likelier than another branch.
    assert (p[0] >= p[1])[(colours == 1) & ~main].all()
    assert card.preprocessing.least_piece in PIECES
    with pytest.raises(ConfigError, match="--every"):
        package(first, open_labels(labels), packaged)
    with pytest.raises(ConfigError, match="does not tell"):
        package("vasomim-demo", open_labels(labels), packaged, every=open_labels(every))


def test_what_a_run_tells_apart_stays_when_its_labels_change(tmp_path):
    """A run that goes on takes from its record what it began with."""
    kinds = (LabelClass(1, "artery"), LabelClass(2, "vein"))
    labels = LabelSet.create(tmp_path / "set", "two", kinds)
    rng = np.random.default_rng(0)
    for n in range(4):
        frame = rng.integers(0, 255, (64, 64)).astype(np.uint8)
        labels.add(frame, rng.integers(0, 3, (64, 64)).astype(np.uint8), group=str(n))
    config = FinetuneConfig(labels.folder, tmp_path / "run", frame_size=64, input_size=64)
    config.run.mkdir()
    log = EventLog(config.run)
    before = material(config, log, Processes())
    labels.set_classes((LabelClass(1, "vein"), LabelClass(2, "artery")))
    after = material(config, log, Processes())
    assert after.lesson == before.lesson
    assert [one.name for one in after.lesson.classes] == ["artery", "vein"]
    assert after.lesson.labelled == (1, 2)
