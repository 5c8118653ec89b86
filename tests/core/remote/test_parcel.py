"""What is sent is what a run reads: the same pixels in the same split, and nothing that names anybody."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.core.reading.files import cine, write_dicom
from vasomim_core.classes import VESSEL, LabelClass
from vasomim_core.config import FinetuneConfig, PretrainConfig
from vasomim_core.data.spool import spool
from vasomim_core.data.unlabelled import each_frame, open_unlabelled
from vasomim_core.files import write_png
from vasomim_core.labels.class_list import write_classes
from vasomim_core.labels.labelled import open_labels
from vasomim_core.labels.splitting import training_and_validation
from vasomim_core.models.catalogue import WEIGHTS
from vasomim_core.remote.parcel import Parcel, local_words, pack

PATIENT = "MUELLER_ANNA"


@pytest.fixture
def keep(tmp_path):
    with spool(tmp_path / "spool") as one:
        yield one


def unpacked(parcel: Parcel, folder: Path) -> Path:
    for name, sha in parcel.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(parcel.content[sha]())
    for name, text in parcel.texts.items():
        (folder / name).write_text(text)
    return folder


def says_nothing(parcel: Parcel) -> bool:
    whole = json.dumps([list(parcel.files), parcel.texts]).encode()
    whole += b"".join(content() for content in parcel.content.values()) + repr(parcel.settings).encode()
    return b"MUELLER" not in whole.upper() and b"DOELING" not in whole.upper()


@pytest.fixture
def labels(tmp_path) -> Path:
    """Eleven frames of seven groups, a run of four among them, with two classes."""
    folder, rng = tmp_path / PATIENT, np.random.default_rng(0)
    for n in range(7):
        name = f"{PATIENT}/{n // 2}/{PATIENT} {n}.png"
        write_png(folder / "images" / name, rng.integers(60, 200, (40, 32), np.uint8))
        write_png(folder / "masks" / name, rng.integers(0, 3, (40, 32), np.uint8))
    for kind, most in (("images", 200), ("masks", 3)):
        pages = rng.integers(0, most, (4, 40, 32), np.uint8)
        tifffile.imwrite(folder / kind / f"{PATIENT}.tif", pages, photometric="minisblack")
    groups = {f"{PATIENT}/{n // 2}/{PATIENT} {n}": {"group": f"{PATIENT} {9 - n // 2}"} for n in range(4)}
    (folder / "frames.json").write_text(json.dumps(groups))
    write_classes(folder / "classes.json", (VESSEL[0], LabelClass(2, "catheter", "#ff0000", False)))
    return folder


@pytest.mark.parametrize("seed", range(4))
def test_a_split_there_is_the_split_here(labels, keep, tmp_path, seed):
    parcel = pack(FinetuneConfig(labels, tmp_path / "run"), keep)
    assert (parcel.frames, parcel.masks, parcel.models) == (11, 11, 0)
    assert says_nothing(parcel)
    there = open_labels(unpacked(parcel, tmp_path / "there") / parcel.settings.labels)
    here = open_labels(labels)
    assert [one.classes for one in there] == [one.classes for one in here]
    assert [parcel.names[one.name] for one in there] == [one.name for one in here]
    for fraction in (1.0, 0.6):
        parts = [training_and_validation(some, None, fraction, seed) for some in (here, there)]
        shas = [[[(one.frame_sha256, one.mask_sha256) for one in part] for part in split] for split in parts]
        assert shas[0] == shas[1]


def test_frames_that_are_left_out_stay_here(labels, keep, tmp_path):
    out = tmp_path / "out" / PATIENT / "0"
    out.mkdir(parents=True)
    (out / f"{PATIENT} 0.png").touch()
    parcel = pack(FinetuneConfig(labels, tmp_path / "run", leave_out=tmp_path / "out", val=labels), keep)
    assert parcel.settings.leave_out is None
    assert sum("/images/" in name for name in parcel.files if name.startswith("labels")) == 9
    assert sum("/images/" in name for name in parcel.files if name.startswith("val")) == 11
    assert says_nothing(parcel)


def test_a_dicom_run_goes_without_its_header(tmp_path, keep):
    folder = tmp_path / PATIENT
    folder.mkdir()
    write_dicom(folder / f"{PATIENT}.dcm", cine())
    (folder / "broken.png").write_bytes(b"no picture")
    parcel = pack(PretrainConfig(folder, tmp_path / "run"), keep)
    assert says_nothing(parcel)
    assert len(parcel.left_out) == 1
    there = unpacked(parcel, tmp_path / "there") / parcel.settings.data
    frames = [list(each_frame(open_unlabelled(path), [], [])) for path in (folder, there)]
    assert len(frames[0]) == parcel.frames
    assert all((a == b).all() for a, b in zip(*frames, strict=True))


def test_packaged_models_are_there_and_others_go_without_their_name(labels, tmp_path, keep):
    own = tmp_path / f"{PATIENT}.safetensors"
    own.write_bytes((WEIGHTS / "vasomim-demo.safetensors").read_bytes())
    config = FinetuneConfig(labels, tmp_path / "run", init=own, teacher="vasomim-fast")
    parcel = pack(config, keep)
    assert (parcel.settings.init, parcel.settings.teacher, parcel.models) == ("init.safetensors", "vasomim-fast", 1)
    assert parcel.content[parcel.files["init.safetensors"]]() == own.read_bytes()
    assert says_nothing(parcel)


def test_what_is_said_there_names_the_frames_of_here():
    names = {"frame-000003": "a b", "val-000000": "c"}
    said = "1 of 3 frames (first: frame-000003): /far/jobs/1/val/images/val-000000.png, frame-000004 and frame-0000031"
    assert local_words(said, names) == "1 of 3 frames (first: a b): c, frame-000004 and frame-0000031"
