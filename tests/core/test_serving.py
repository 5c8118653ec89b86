"""What the inference child answers, and that nothing but the end of its input ends it."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from vasomim_core import masking
from vasomim_core.errors import CheckpointError, ConfigError, InputError
from vasomim_core.inference import predict, reconstruct, uncertainty
from vasomim_core.masking_schedule import MaskingSchedule
from vasomim_core.messages import Message, encode, receive, send
from vasomim_core.models.catalogue import WEIGHTS, Card
from vasomim_core.models.checkpoint import save_checkpoint
from vasomim_core.models.registry import load_model, load_pretrained
from vasomim_core.models.unext import UNeXt
from vasomim_core.serving import Service, reply_to

SETTINGS = {"mask_ratio": 0.5, "beta_start": 0.1, "beta_end": 0.8}


@pytest.fixture(scope="module")
def service():
    return Service()


def frame(height: int = 96, width: int = 80) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (height, width), dtype=np.uint8)


def anatomy(height: int = 64, width: int = 96) -> np.ndarray:
    m = np.zeros((height, width), bool)
    m[10:14, 5:60] = m[20:60, 30:33] = True
    return m


def through_a_pipe(*messages: Message) -> io.BufferedReader:
    stream = io.BytesIO()
    for message in messages:
        send(stream, encode(message))
    return io.BufferedReader(io.BytesIO(stream.getvalue()))


def test_messages_arrive_as_they_were_sent():
    arrays = {
        "empty": np.zeros((0, 3), np.float32),
        "strided": np.arange(24).reshape(4, 6)[::2, ::-1],
        "swapped": np.arange(5, dtype=">u2"),
        "flags": np.eye(3, dtype=bool),
        "large": np.random.default_rng(0).random((700, 900)),
    }
    plain = {"text": "β = ½\n", "number": 0.1, "none": None, "list": [1, 2]}
    stream = through_a_pipe(Message("a", arrays | plain), Message("b", {"x": np.float32(2)}))
    first, second = receive(stream), receive(stream)
    assert {k: v for k, v in first.values.items() if k in plain} == plain
    for name, array in arrays.items():
        np.testing.assert_array_equal(first.values[name], array)
        assert first.values[name].dtype == array.dtype.newbyteorder("=")
    assert second == Message("b", {"x": 2.0})
    assert receive(stream) is None


@pytest.mark.parametrize(
    "line",
    [
        b"\x80\x04pickle\n",
        b"{}\n",
        b'{"kind": "x", "values": {}, "arrays": [["a", "object", [2]]]}\n',
        b'{"kind": "x", "values": {}, "arrays": [["a", "uint8", [-1]]]}\n',
        b'{"kind": "x", "values": {}, "arrays": [["a", "uint8", [99999999, 99999999]]]}\n',
        b"x" * (1 << 21),
    ],
)
def test_what_is_no_message_is_refused_before_memory_is_taken(line):
    with pytest.raises(InputError):
        receive(io.BufferedReader(io.BytesIO(line)))


def test_a_message_cut_off_is_none():
    stream = through_a_pipe(Message("a", {"x": np.zeros(1000)}))
    whole = stream.read()
    for length in (0, 10, len(whole) - 1):
        assert receive(io.BufferedReader(io.BytesIO(whole[:length]))) is None


def test_what_cannot_be_sent_is_refused():
    with pytest.raises(InputError, match="complex"):
        encode(Message("a", {"x": np.zeros(3, complex)}))
    with pytest.raises(InputError, match="too large"):
        encode(Message("a", {"x": np.broadcast_to(np.zeros(1, np.uint8), (1 << 16, (1 << 14) + 1))}))
    with pytest.raises(TypeError):
        encode(Message("a", {"x": object()}))


@pytest.mark.parametrize("mirrored", [False, True])
def test_segmenting_is_predicting(service, mirrored):
    answer = service.segment(frame(), "vasomim-demo", mirrored)
    model = load_model("vasomim-demo")
    expected = predict(model, frame(), mirrored)
    np.testing.assert_array_equal(answer["probability"], expected)
    np.testing.assert_array_equal(answer["uncertainty"], uncertainty(expected))
    assert answer["threshold"] == model.card.preprocessing.threshold
    assert (answer["model"], answer["device"]) == ("vasomim-demo", str(model.device))


def test_a_model_file_that_was_written_again_is_read_again(tmp_path):
    service, path = Service(), tmp_path / "m.safetensors"
    shutil.copy(WEIGHTS / "vasomim-demo.safetensors", path)
    before = service.segment(frame(), str(path))["probability"]
    torch.manual_seed(0)
    save_checkpoint(path, UNeXt().state_dict(), Card("segmenter", "unext"))
    assert not np.array_equal(service.segment(frame(), str(path))["probability"], before)
    service.unload()
    assert not np.array_equal(service.segment(frame(), str(path))["probability"], before)


@pytest.mark.parametrize("sampler", ["anatomy", "top-k", "uniform"])
def test_the_mask_preview_shows_what_pretraining_would_mask(service, sampler):
    answer = service.mask_preview(anatomy(), 16, sampler=sampler, epochs=10, epoch=4, seed=7, **SETTINGS)
    f = masking.vascular_distribution(torch.from_numpy(anatomy())[None], 16)
    beta = MaskingSchedule(beta_start=0.1, beta_end=0.8, epochs=10).beta(4)
    mask = masking.sample_mask(f, 0.5, beta, torch.Generator().manual_seed(7), sampler)
    assert answer["beta"] == beta
    np.testing.assert_array_equal(answer["f"].ravel(), f[0])
    np.testing.assert_array_equal(answer["masked"].ravel(), mask[0])
    assert answer["masked"].shape == (4, 6)
    assert not (answer["guided"] & ~answer["masked"]).any()
    wanted = min(int(beta * 12), int((f > 0).sum()))
    assert answer["guided"].sum() == (0 if sampler == "uniform" else wanted)


def test_the_heat_map_is_that_of_masking(service):
    answer = service.masking_heat_map(anatomy(), 16, epochs=30, seed=5, **SETTINGS)
    f = masking.vascular_distribution(torch.from_numpy(anatomy())[None], 16)
    expected = masking.masking_heat_map(f, 0.5, 30, 0.1, 0.8, torch.Generator().manual_seed(5))
    np.testing.assert_array_equal(answer["share"].ravel(), expected[0])


def test_frames_that_do_not_divide_into_patches_are_filled_up(service):
    odd = anatomy()[:61, :90]
    padded = np.pad(odd, ((0, 3), (0, 6)))
    for name, plane in service.mask_preview(odd, 16).items():
        np.testing.assert_array_equal(plane, service.mask_preview(padded, 16)[name])


def test_reconstruction_is_that_of_inference(service, pretrained):
    m = anatomy(96, 80)
    answer = service.reconstruct(frame(), m, str(pretrained), 0.5, seed=3)
    expected = vars(reconstruct(load_pretrained(pretrained)[0], frame(), m, 0.5, 3))
    for name, plane in expected.items():
        np.testing.assert_array_equal(answer[name], plane)


@pytest.mark.parametrize(
    ("method", "values", "error", "says"),
    [
        ("segment", {"frame": frame(), "model": "nobody"}, CheckpointError, "known models: .*vasomim-demo"),
        ("segment", {"frame": frame() / 255}, InputError, "float64"),
        ("segment", {"frame": "text"}, InputError, "frame is str"),
        ("mask_preview", {"anatomy": anatomy(), "patch_size": 0}, ConfigError, "patch size is 0"),
        ("mask_preview", {"anatomy": anatomy(), "epoch": 200}, ConfigError, "epoch 200 of 200"),
        ("reconstruct", {"frame": frame(), "anatomy": anatomy(), "model": "m"}, InputError, "64×96 px.*96×80 px"),
        ("reconstruct", {"frame": anatomy(), "anatomy": anatomy(), "model": "m"}, InputError, "frame is bool"),
        ("explode", {}, ConfigError, "unknown method 'explode'.*segment"),
    ],
)
def test_bad_requests_get_a_sentence(service, method, values, error, says):
    reply = receive(io.BufferedReader(io.BytesIO(b"".join(reply_to(Message(method, values), service.methods())))))
    assert reply.kind == "error"
    assert (reply.values["type"], reply.values["report"]) == (error.__name__, "")
    with pytest.raises(error, match=says):
        raise error(reply.values["message"])


def test_the_unexpected_gets_a_report_without_values():
    def lose(name):
        raise KeyError(name)

    request = Message("lose", {"name": "Doe^Jane"})
    reply = receive(io.BufferedReader(io.BytesIO(b"".join(reply_to(request, {"lose": lose})))))
    assert "in lose" in reply.values["report"]
    assert "KeyError" in reply.values["report"]
    assert "Doe" not in reply.values["report"]


def test_the_child_ends_in_the_midst_of_its_work_when_its_parent_is_killed(tmp_path):
    """The parent is killed while its child sleeps in a request of ten minutes."""
    child = "import time, os; from vasomim_core.serving import serve\n"
    child += "def work(): print(os.getpid(), flush=True); time.sleep(600)\n"
    child += "serve({'work': work})"
    parent = f"""
import subprocess, sys
from vasomim_core.messages import Message, encode, send
child = subprocess.Popen([sys.executable, "-c", {child!r}], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
send(child.stdin, encode(Message("work", {{}})))
child.wait()
"""
    with subprocess.Popen([sys.executable, "-c", parent], stderr=subprocess.PIPE) as process:
        number = int(process.stderr.readline())  # printed by the child, hence not in its stream of messages
        assert alive(number)
        process.kill()
        assert process.stderr.read() == b""  # closed by the child's end
    for _ in range(100):
        if not alive(number):
            return
        time.sleep(0.1)
    pytest.fail("the child outlived its parent")


def alive(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True
