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

from vasomim_core.errors import CheckpointError, ConfigError, InputError
from vasomim_core.inference.frame_masking import FrameMasking
from vasomim_core.inference.messages import Message, encode, receive, send
from vasomim_core.inference.prediction import predict, uncertainty
from vasomim_core.inference.service import Service, reply_to
from vasomim_core.masking.schedule import MaskingSchedule
from vasomim_core.models.catalogue import WEIGHTS, Card
from vasomim_core.models.checkpoint import save_checkpoint
from vasomim_core.models.registry import load_model, load_pretrained
from vasomim_core.models.unext import UNeXt


@pytest.fixture(scope="module")
def service():
    return Service()


def frame(height: int = 96, width: int = 80) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (height, width), dtype=np.uint8)


def anatomy(height: int = 64, width: int = 96) -> np.ndarray:
    m = np.zeros((height, width), bool)
    m[10:14, 5:60] = m[20:60, 30:33] = True
    return m


MASKING = {"frame": frame(64, 96), "anatomy": anatomy(), "schedule": {}}


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


@pytest.mark.parametrize("with_model", [False, True])
def test_masking_is_that_of_the_engine(service, pretrained, with_model):
    schedule = MaskingSchedule(64, sampler="top-k", beta_start=0.0, beta_end=1.0, epochs=10, seed=7)
    image, m = frame(), anatomy(96, 80)
    masking = FrameMasking(image, m, schedule, load_pretrained(pretrained)[0] if with_model else None)
    asked = {"frame": image, "anatomy": m, "schedule": vars(schedule), "model": str(pretrained) if with_model else ""}
    mask = masking.mask(9)
    assert (mask.masked != masking.mask(0).masked).any()
    pairs = [
        (service.mask_preview(epoch=9, **asked), mask),
        (service.masking_over_epochs(**asked), masking.over_epochs()),
    ]
    if with_model:
        pairs.append((service.reconstruct(epoch=9, **asked), masking.reconstruct(mask)))
    for answer, expected in pairs:
        encode(Message("answer", answer))
        assert answer.keys() == vars(expected).keys()
        for name, value in vars(expected).items():
            np.testing.assert_array_equal(answer[name], value, err_msg=name)


@pytest.mark.parametrize(
    ("method", "values", "error", "says"),
    [
        ("segment", {"frame": frame(), "model": "nobody"}, CheckpointError, "known models: .*vasomim-demo"),
        ("segment", {"frame": frame() / 255}, InputError, "float64"),
        ("segment", {"frame": "text"}, InputError, "frame is str"),
        ("mask_preview", MASKING | {"schedule": {"patch_size": 0}}, ConfigError, "patch_size is 0"),
        ("mask_preview", MASKING | {"schedule": {"patch_size": 24}}, ConfigError, "does not divide into patches of 24"),
        ("mask_preview", MASKING | {"schedule": {"sampler": "best"}}, ConfigError, "sampler is 'best'"),
        ("mask_preview", MASKING | {"epoch": 200}, ConfigError, "epoch 200 of 200"),
        ("mask_preview", MASKING | {"schedule": {"co_guidance": True}}, ConfigError, "asks a model's segmentor"),
        ("mask_preview", MASKING | {"frame": frame()}, InputError, "64×96 px.*96×80 px"),
        ("masking_over_epochs", MASKING | {"frame": anatomy()}, InputError, "frame is bool"),
        ("reconstruct", MASKING, ConfigError, "no model is given"),
        ("reconstruct", MASKING | {"model": "vasomim-encoder", "schedule": {"patch_size": 8}}, ConfigError, "16 px"),
        ("reconstruct", MASKING | {"model": "vasomim-fast"}, CheckpointError, "is a segmenter"),
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
    child = "import time, os; from vasomim_core.inference.service import serve\n"
    child += "def work(): print(os.getpid(), flush=True); time.sleep(600)\n"
    child += "serve({'work': work})"
    parent = f"""
import subprocess, sys
from vasomim_core.inference.messages import Message, encode, send
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
