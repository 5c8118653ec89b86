"""Collections of angiograms as they are documented in docs/methods.md, on made-up files."""

from __future__ import annotations

import numpy as np
import pytest

from tests.core.reading.files import write_dicom
from vasomim_core.comparing.datasets import data_sets, frames_facts, pretraining_frames, write_held_out
from vasomim_core.comparing.settings import Comparison
from vasomim_core.data.unlabelled import open_unlabelled
from vasomim_core.exchange.formats import labelled
from vasomim_core.exchange.importing import import_labels
from vasomim_core.files import write_png
from vasomim_core.labels.labelled import open_labels
from vasomim_core.labels.labelset import LabelSet
from vasomim_core.labels.splitting import split_by_group
from vasomim_core.synthetic import synthesize


def drawn(folder, names, seed=0):
    """Frames and masks of these names, in folders beside each other."""
    for n, name in enumerate(names):
        made = synthesize((seed, n), size=64)
        write_png(folder / "images" / f"{name}.png", made.frame)
        write_png(folder / "masks" / f"{name}.png", made.mask.astype(np.uint8) * 255)


def comparison(*data, unlabelled=()):
    return Comparison(data, unlabelled, minutes=None, epochs=1)


def none(done, total):
    """Nobody is told."""


def test_caxf_is_frames_and_masks_in_folders(tmp_path):
    drawn(tmp_path / "CAXF" / "train", ["a", "b", "c"])
    drawn(tmp_path / "CAXF" / "test", ["d", "e"], seed=1)
    (one,) = data_sets(comparison(tmp_path / "CAXF"), tmp_path / "out")
    assert ([f.name for f in one.learned()], [f.name for f in one.reported()]) == (["a", "b", "c"], ["d", "e"])


def test_frames_of_a_sequence_of_xcav_stay_together(tmp_path):
    drawn(tmp_path / "XCAV", [f"{run}/{n}" for run in ("CVAI-1", "CVAI-2", "CVAI-3", "CVAI-4") for n in range(3)])
    frames = open_labels(tmp_path / "XCAV")
    assert len({f.group for f in frames}) == len({(f.group, f.name.partition("/")[0]) for f in frames}) == 4
    assert not any("CVAI" in f.group for f in frames)  # a folder may be called like a person
    assert {f.group for f in open_labels(tmp_path / "XCAV")} == {f.group for f in frames}  # the split is repeated
    for seed in range(5):
        for part in split_by_group(frames, 0.3, seed):
            assert all(sum(f.name.startswith(run) for f in part) in (0, 3) for run in ("CVAI-1", "CVAI-2"))
    (one,) = data_sets(comparison(tmp_path / "XCAV"), tmp_path / "out")
    write_held_out(one)
    (held,) = {f.name.partition("/")[0] for f in one.reported()}
    assert sorted(path.name for path in (one.held_out / held).iterdir()) == ["0.png", "1.png", "2.png"]
    assert len(pretraining_frames(comparison(tmp_path / "XCAV"), [one], tmp_path / "out", none)) == 9


def test_masks_of_the_filter_beside_frames_of_xa_are_no_angiograms(tmp_path):
    drawn(tmp_path / "labelled", "abcd", seed=5)
    root = tmp_path / "XA-20K"
    for name in ("CADICA", "XCAD"):
        drawn(root / name, [f"{n}" for n in range(3)], seed=len(name))
        (root / name / "masks").rename(root / name / "filter")  # a folder that is not known to hold masks
    found = open_unlabelled(root)
    assert found.frames == 6
    assert len(found.left_out) == 6
    assert all("taken for a mask" in sentence for sentence in found.left_out)
    given = comparison(tmp_path / "labelled", unlabelled=(root,))
    assert len(pretraining_frames(given, data_sets(given, tmp_path / "out"), tmp_path / "out", none)) == 6
    assert len(frames_facts(tmp_path / "out")["left_out"]) == 6


@pytest.mark.parametrize(("shift", "alike"), [(1, 4), (None, 0)])
def test_frames_of_one_run_are_counted(tmp_path, shift, alike):
    drawn(tmp_path / "labelled", "abcd", seed=5)
    for n in range(5):
        frame = synthesize((9, 0 if shift else n), size=64).frame
        write_png(tmp_path / "run" / f"{n}.png", np.roll(frame, n * (shift or 0) // 2, axis=0))
    given = comparison(tmp_path / "labelled", unlabelled=(tmp_path / "run",))
    pretraining_frames(given, data_sets(given, tmp_path / "out"), tmp_path / "out", none)
    assert frames_facts(tmp_path / "out")["alike"] == alike


def test_a_patient_in_two_folders_is_one_group_and_a_folder_s_name_stays_outside(tmp_path):
    folder = tmp_path / "collection"
    drawn(folder, ["Doe/0", "Doe/1", "Roe/0"])
    for series in ("a", "b"):  # two series of one patient, each in a folder of its own
        made = synthesize((3, ord(series)), size=64)
        (folder / "images" / series).mkdir()
        write_dicom(folder / "images" / series / "run.dcm", made.frame[None], PatientID="7")
        write_png(folder / "masks" / series / "run.png", made.mask.astype(np.uint8) * 255)
    learned = {f.name: f.group for f in open_labels(folder)}
    labels = LabelSet.create(tmp_path / "set", "set")
    import_labels(labelled(folder), labels)
    kept = [record.group for record in labels.records()]
    assert learned["a/run"] == learned["b/run"]
    assert learned["Doe/0"] == learned["Doe/1"] != learned["Roe/0"]
    assert sorted(kept.count(group) for group in set(kept)) == [1, 2, 2]
    assert not any(word in str(group) for group in (*kept, *learned.values()) for word in ("Doe", "Roe"))
