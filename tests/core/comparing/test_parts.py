"""The parts of a comparison one by one: rows, settings, data sets, budget, differences, clustering."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vasomim_core.comparing.budget import planned, spent
from vasomim_core.comparing.clustering import clustering
from vasomim_core.comparing.datasets import data_sets, frames_facts, pretraining_frames, write_held_out
from vasomim_core.comparing.published import ABLATION, PUBLISHED, published_as
from vasomim_core.comparing.rows import ROWS, VARIANTS, pretraining, rows_of, takes_segmentor, tokens_seen
from vasomim_core.comparing.scoring import shown
from vasomim_core.comparing.settings import MINUTES, Comparison, load_settings, settle_settings
from vasomim_core.comparing.standing import comparisons_in, standing
from vasomim_core.comparing.statistics import mean_and_spread, paired_difference
from vasomim_core.errors import ConfigError, InputError, LabelError, RunError
from vasomim_core.methods.settings import METHODS
from vasomim_core.synthetic import write_samples
from vasomim_core.training.result import TrainingResult


@pytest.fixture
def comparison(tmp_path):
    return Comparison((tmp_path / "data",), minutes=None, epochs=3, device="cpu")


# Rows


def test_the_table_has_the_filter_a_network_from_scratch_and_every_method():
    assert {row.method for row in ROWS.values() if row.method} == set(METHODS)
    assert [row.kind for row in ROWS.values()].count("pretrained") == 10
    assert len(ROWS) == 12
    assert all(set(table) == set(ROWS) for table in PUBLISHED.values())
    names = {row.name for rows in VARIANTS.values() for row in rows} | {"vasomim"}
    assert all(set(table) == names for table in ABLATION.values())
    assert [row.name for row in rows_of([], [])] == list(ROWS)
    assert [(row.name, row.architecture) for row in rows_of(["vit", "unet"], [])] == [("unet", "unet"), ("vit", "vit")]
    assert published_as("Syntax") == "ARCADE"
    assert published_as("mine") is None


def test_a_run_that_two_ablations_share_is_done_once():
    rows = rows_of(["mae"], ["components", "schedule"])
    names = [row.name for row in rows]
    assert names.count("consistency") == 1
    assert names == ["mae", "vasomim", "neither", "consistency", "guidance", "schedule-0-1", "schedule-1-1"]
    assert [row.name for row in rows if row.kind == "pretrained" and takes_segmentor(row)] == [
        "vasomim", "consistency", "schedule-0-1", "schedule-1-1",
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="no row is called"):
        rows_of(["bert"], [])


@pytest.mark.parametrize("name", [row.name for row in ROWS.values() if row.method])
def test_all_methods_pretrain_under_one_protocol(name, comparison, tmp_path):
    comparison = replace(comparison, input_size=224, batch_size=64)
    config = pretraining(ROWS[name], comparison, tmp_path / "run", 7, tmp_path / "s")
    training = config.training
    assert (config.method, config.encoder, config.input_size) == (ROWS[name].method, "tiny", 224)
    assert (training.epochs, training.batch_size, training.seed) == (7, 64, 0)
    rates = {"simmim": 1e-4 * 64 / 512, "chexworld": 2e-4, "mocov3": 1.5e-4 / 4, "dino": 5e-4 / 4}
    assert training.learning_rate == pytest.approx(rates.get(name, 5e-4))
    assert getattr(config, "segmentor", None) == (str(tmp_path / "s") if name == "vasomim" else None)
    depths = {"crossmae": 12, "mae": 2, "vasomim": 2, "chexworld": None}
    assert getattr(config, "decoder_depth", None) == depths.get(name, getattr(config, "decoder_depth", None))
    assert getattr(config, "predictor_width", 192) == 192
    tokens = {"mae": 49, "simmim": 196, "amt": 29, "mocov3": 392, "dino": 392 + 8 * 36, "vasomim": 98}
    if name in tokens:
        assert tokens_seen(config) == tokens[name]


def test_small_views_of_dino_shrink_with_the_crops(comparison, tmp_path):
    config = pretraining(ROWS["dino"], replace(comparison, input_size=128), tmp_path / "run", 1, None)
    assert config.small_size == 48


def test_ablations_change_what_they_name(comparison, tmp_path):
    found = {row.name: pretraining(row, comparison, tmp_path / "r", 1, None) for row in rows_of(["vasomim"], VARIANTS)}
    settings = {name: (c.sampler, c.beta_start, c.beta_end, c.consistency) for name, c in found.items()}
    assert settings == {
        "vasomim": ("anatomy", 0.0, 0.5, 1.0),
        "neither": ("uniform", 0.0, 0.5, 0.0),
        "consistency": ("anatomy", 0.0, 0.0, 1.0),
        "guidance": ("anatomy", 0.0, 0.5, 0.0),
        "schedule-0-1": ("anatomy", 0.0, 1.0, 1.0),
        "schedule-1-1": ("anatomy", 1.0, 1.0, 1.0),
    }


# Settings


def test_a_folder_keeps_its_settings_and_lets_rows_be_added(comparison, tmp_path):
    out = tmp_path / "out"
    begun = settle_settings(out, comparison)
    assert load_settings(out) == begun
    grown = replace(begun, seeds=5, clustering=True, ablation=("schedule",))
    assert settle_settings(out, replace(grown, methods=("dino",))) == grown  # all rows were asked for before
    assert settle_settings(out, comparison) == load_settings(out) == grown
    few = settle_settings(tmp_path / "few", replace(comparison, methods=("mae", "unet")))
    more = settle_settings(tmp_path / "few", replace(few, methods=("simmim", "unet"), ablation=("components",)))
    assert (more.methods, more.ablation) == (("mae", "unet", "simmim"), ("components",))
    for change in ({"fraction": 0.2}, {"epochs": 4}, {"task": "stenosis"}, {"unlabelled": (tmp_path,)}):
        with pytest.raises(ConfigError, match=f"--{next(iter(change))}.*begun with"):
            settle_settings(out, replace(comparison, **change))


def test_a_folder_with_something_else_is_left_alone(comparison, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").touch()
    with pytest.raises(ConfigError, match="not empty"):
        settle_settings(tmp_path / "out", comparison)
    with pytest.raises(ConfigError, match="no comparison"):
        load_settings(tmp_path / "out")


def test_where_neither_time_nor_epochs_are_given_it_is_time(comparison, tmp_path):
    assert settle_settings(tmp_path / "out", replace(comparison, epochs=None)).minutes == MINUTES


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"minutes": 1.0}, "either"),
        ({"epochs": 0}, "epochs is 0"),
        ({"seeds": 0}, "seeds is 0"),
        ({"fraction": 1.5}, "fraction is 1.5"),
        ({"input_size": 100}, "multiple of 32"),
        ({"data": ()}, "--data"),
        ({"epochs": None, "minutes": -1.0}, "minutes is -1"),
    ],
)
def test_settings_that_cannot_be_are_told(comparison, tmp_path, change, words):
    with pytest.raises(ConfigError, match=words):
        settle_settings(tmp_path / "out", replace(comparison, **change))
    assert not (tmp_path / "out").exists()


# Data sets


def test_what_is_learned_chosen_and_reported_on_follows_from_the_parts(tmp_path, comparison):
    for name, parts in (("a", ["train", "val"]), ("b", ["train", "val", "test"]), ("c", []), ("d", ["train"])):
        for part in parts or ["."]:
            (tmp_path / name / part).mkdir(parents=True)
    a, b, c = data_sets(replace(comparison, data=tuple(tmp_path / n for n in "abc")), tmp_path / "out")
    assert (a.train.name, a.choose, a.report.name, a.held_out) == ("train", None, "val", None)
    assert (b.train.name, b.choose.name, b.report.name, b.held_out) == ("train", "val", "test", None)
    assert (c.train, c.choose, c.report) == (tmp_path / "c", None, tmp_path / "c")
    assert c.held_out == tmp_path / "out" / "held-out" / "c"
    with pytest.raises(LabelError, match="none to report on"):
        data_sets(replace(comparison, data=(tmp_path / "d",)), tmp_path / "out")
    with pytest.raises(LabelError, match="two data sets"):
        data_sets(replace(comparison, data=(tmp_path / "a", tmp_path / "a")), tmp_path / "out")


def test_frames_that_are_reported_on_are_neither_learned_from_nor_pretrained_on(tmp_path, comparison):
    write_samples(tmp_path / "data", 8, size=64)
    (one,) = data_sets(comparison, tmp_path / "out")
    reported, learned = one.reported(), one.learned()
    assert (len(reported), len(learned)) == (2, 6)
    assert {f.name for f in reported}.isdisjoint(f.name for f in learned)
    write_held_out(one)
    assert {path.stem for path in one.held_out.iterdir()} == {f.name for f in reported}
    frames = pretraining_frames(comparison, [one], tmp_path / "out", lambda done, total: None)
    assert (len(frames), frames_facts(tmp_path / "out")["shared"]) == (6, 0)
    pixels = {frames[n][0].tobytes() for n in range(6)}
    assert not {f.frame().tobytes() for f in reported} & pixels


def test_parts_that_overlap_are_told(tmp_path, comparison):
    write_samples(tmp_path / "data" / "train", 5, size=64)
    write_samples(tmp_path / "data" / "val", 3, size=64)  # three of the five
    sets = data_sets(comparison, tmp_path / "out")
    pretraining_frames(comparison, sets, tmp_path / "out", lambda done, total: None)
    assert frames_facts(tmp_path / "out")["shared"] == 3


def test_unlabelled_folders_give_no_frame_that_is_reported_on(tmp_path, comparison):
    write_samples(tmp_path / "data", 4, size=64)
    write_samples(tmp_path / "more", 3, size=64, seed=1)
    (tmp_path / "more" / "images" / "broken.png").write_bytes(b"no picture")
    comparison = replace(comparison, unlabelled=(tmp_path / "more" / "images", tmp_path / "data" / "images"))
    (one,) = data_sets(comparison, tmp_path / "out")
    frames = pretraining_frames(comparison, [one], tmp_path / "out", lambda done, total: None)
    facts = frames_facts(tmp_path / "out")
    assert (len(frames), facts["frames"], facts["reported"]) == (6, 6, 1)
    assert "broken.png" in facts["left_out"][0]


# Budget


def written(folder, times, opened=()):
    folder.mkdir(parents=True)
    rows = [{"event": "start", "time": times[0], "job": "pretrain"}]
    rows += [
        {"event": "step", "step": n + 1, "epoch": n // 2 + 1, "time": t, "memory": 10 * n}
        for n, t in enumerate(times[1:])
    ]
    for at in opened:
        rows.insert(at, {"event": "open", "time": rows[at]["time"] - 1, "job": "pretrain", "pid": 1})
    (folder / "events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_plan_is_what_fits_into_the_minutes_and_stays(tmp_path):
    asked = []

    def trial(folder, steps):
        asked.append(steps)
        written(folder, [100, 130, 132, 134, 140, 142])  # the first step took 30 s, the others 2, 2, 6, 2
        return TrainingResult(folder, folder / "model", "finished")

    path = tmp_path / "plans" / "mae.json"
    path.parent.mkdir()
    plan = planned(path, 10, 2.0, trial)
    assert (plan.epochs, plan.step_seconds) == (6, 2.0)
    assert planned(path, 10, 99.0, trial) == plan
    assert asked == [8]
    assert [p.name for p in path.parent.iterdir()] == ["mae.json"]


def test_the_time_between_two_processes_is_not_counted(tmp_path):
    run = tmp_path / "run"
    written(run, [0.0, 60.0, 120.0, 7320.0, 7380.0], opened=(3,))
    took = spent(run)
    assert took.minutes == pytest.approx((60 + 60 + 1 + 60) / 60)
    assert (took.memory, took.epochs) == (30, 2)


def test_a_trial_without_times_says_so(tmp_path):
    with pytest.raises(RunError, match="--epochs"):
        planned(tmp_path / "x.json", 10, 1.0, lambda folder, steps: None)


# Differences


scores = st.lists(st.floats(0, 100), min_size=6, max_size=6)


@settings(max_examples=12, deadline=None)  # of 4,000 draws each, three times
@given(scores, scores, st.floats(-5, 5))
def test_a_difference_is_that_of_the_means_and_turns_with_its_rows(a, b, shift):
    x, y = np.array([a, b]), np.array([b, a])
    found = paired_difference(x + shift, x, [0, 0, 1, 2, 3, 4])
    assert found.mean == pytest.approx(shift, abs=1e-9)
    assert (found.low, found.high) == (pytest.approx(shift, abs=1e-9), pytest.approx(shift, abs=1e-9))
    one, other = paired_difference(x, y, range(6)), paired_difference(y, x, range(6))
    assert one.mean == pytest.approx(-other.mean, abs=1e-9)
    assert (one.low, one.high) == (pytest.approx(-other.high, abs=1e-9), pytest.approx(-other.low, abs=1e-9))


def test_an_interval_has_the_width_of_the_mean_s_error():
    rng = np.random.default_rng(3)
    noise = rng.normal(0, 10, (1, 400))
    found = paired_difference(50 + 0.3 + noise, np.full((1, 400), 50.0), range(400))
    assert found.high - found.low == pytest.approx(2 * 1.96 * noise.std() / 20, rel=0.1)
    assert found.verdict == "not told apart"
    assert paired_difference(52 + noise, np.full((1, 400), 50.0), range(400)).verdict == "higher"
    assert paired_difference(48 + noise, np.full((1, 400), 50.0), range(400)).verdict == "lower"


def test_frames_of_one_group_and_seeds_count_together():
    rng = np.random.default_rng(4)
    patients = np.repeat(rng.normal(1, 5, 20), 10)[None]  # ten like frames of each
    zero = np.zeros_like(patients)
    alone = paired_difference(patients, zero, range(200))
    grouped = paired_difference(patients, zero, np.repeat(range(20), 10).tolist())
    assert grouped.high - grouped.low > 2.5 * (alone.high - alone.low)
    seeds = np.array([[3.0] * 50, [-3.0] * 50, [1.0] * 50])  # three seeds that do not agree
    assert paired_difference(seeds, np.zeros((3, 50)), range(50)).verdict == "not told apart"
    assert paired_difference(np.ones((3, 50)), np.zeros((1, 50)), range(50)).verdict == "higher"
    with pytest.raises(InputError, match="different frames"):
        paired_difference(seeds, np.zeros((3, 49)), range(50))


def test_the_spread_is_over_seeds():
    assert mean_and_spread(np.array([[1.0, 3.0], [3.0, 5.0]])) == (3.0, pytest.approx(2**0.5))
    assert mean_and_spread(np.array([[1.0, 3.0]])) == (2.0, None)


# Clustering


def test_clustering_is_scikit_learn_s_on_balanced_samples():
    from sklearn.metrics import silhouette_score

    rng = np.random.default_rng(0)
    vessel, background = rng.normal(0, 1, (300, 8)), rng.normal(1, 1, (900, 8))
    found = clustering(vessel.astype(np.float32), background.astype(np.float32))
    whole = silhouette_score(np.concatenate([vessel, background[:300]]), np.repeat([1, 0], 300))
    assert found.tokens == 600
    assert found.silhouette == pytest.approx(whole, abs=0.02)
    apart = clustering(vessel.astype(np.float32), (background + 5).astype(np.float32))
    assert apart.silhouette > found.silhouette
    assert apart.calinski_harabasz > found.calinski_harabasz
    assert apart.davies_bouldin < found.davies_bouldin
    with pytest.raises(ConfigError, match="too few"):
        clustering(np.zeros((1, 8), np.float32), np.zeros((9, 8), np.float32))


def test_shown_frames_are_spread_evenly():
    assert shown(200) == [0, 50, 100, 149, 199]
    assert shown(3) == [0, 1, 2]


# How far it has come


def test_how_far_a_comparison_has_come_is_read_from_its_folder(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(ConfigError, match="no comparison"):
        standing(out)
    settle_settings(out, Comparison((tmp_path / "a", tmp_path / "b"), methods=("frangi", "mae"), seeds=2))
    assert comparisons_in(tmp_path) == [out]
    for run in ("a/frangi/seed-0", "b/frangi/seed-0", "a/mae/seed-0", "b/mae/seed-0", "a/mae/seed-7", "a/unet/seed-0"):
        (out / "scores" / run).mkdir(parents=True)
        (out / "scores" / run / "scores.csv").write_text("frame\n")
    found = standing(out)
    assert found.rows == (("Filter", 2, 2), ("MAE", 2, 4))
    assert not found.finished
    assert "MAE (2 of 4)" in found.words()
    assert "no report yet" in found.words()
    for name in ("a", "b"):
        (out / "scores" / name / "mae" / "seed-1").mkdir()
        (out / "scores" / name / "mae" / "seed-1" / "scores.csv").write_text("frame\n")
    (out / "report.md").write_text("# Report")
    os.utime(out / "report.md", (1e9, 1e9))
    assert standing(out).outdated
    assert "older than the last scores" in standing(out).words()
    os.utime(out / "report.md")
    assert standing(out).finished
    assert standing(out).words() == "All 6 runs of 2 rows are scored."
