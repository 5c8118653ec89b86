"""What the inference child answers, and that nothing but the end of its input ends it."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from vasomim_core.errors import CheckpointError, ConfigError, InputError
from vasomim_core.inference import frame_masking
from vasomim_core.inference.frame_masking import FrameMasking
from vasomim_core.inference.messages import Failure, Message, decode, encode, receive, send
from vasomim_core.inference.requests import (
    Environment,
    Hello,
    MaskingOverEpochs,
    MaskPreview,
    Reconstruct,
    Request,
    Segment,
    Segmentation,
)
from vasomim_core.inference.service import Service, reply_to
from vasomim_core.masking.results import Mask, OverEpochs, Reconstruction
from vasomim_core.masking.sampling import sample_masks, vascular_distribution
from vasomim_core.masking.schedule import MaskingSchedule
from vasomim_core.models.catalogue import WEIGHTS, Card
from vasomim_core.models.checkpoint import save_checkpoint
from vasomim_core.models.prediction import uncertainty
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


SEGMENT = {"frame": frame(), "model": "vasomim-demo", "mirrored": False}
MASKING = {"frame": frame(64, 96), "anatomy": anatomy(), "schedule": {}, "model": ""}
PREVIEW = MASKING | {"epoch": 0}


@dataclass(eq=False)
class Sent:
    x: Any


@dataclass(eq=False)
class Mixed:
    empty: Any
    strided: Any
    swapped: Any
    flags: Any
    large: Any
    text: str
    number: float
    none: None
    list: Any
    schedule: MaskingSchedule


def through_a_pipe(*sent: Any) -> io.BufferedReader:
    stream = io.BytesIO()
    for one in sent:
        send(stream, encode(one))
    return io.BufferedReader(io.BytesIO(stream.getvalue()))


def test_messages_arrive_as_they_were_sent():
    arrays = {
        "empty": np.zeros((0, 3), np.float32),
        "strided": np.arange(24).reshape(4, 6)[::2, ::-1],
        "swapped": np.arange(5, dtype=">u2"),
        "flags": np.eye(3, dtype=bool),
        "large": np.random.default_rng(0).random((700, 900)),
    }
    schedule = MaskingSchedule(64, sampler="top-k")
    plain = {"text": "β = ½\n", "number": 0.1, "none": None, "list": [1, 2], "schedule": schedule}
    stream = through_a_pipe(Mixed(**arrays, **plain), Sent(np.float32(2)))
    first, second = receive(stream), receive(stream)
    assert {k: v for k, v in first.values.items() if k in plain} == plain | {"schedule": vars(schedule)}
    assert first.kind == "Mixed"
    for name, array in arrays.items():
        np.testing.assert_array_equal(first.values[name], array)
        assert first.values[name].dtype == array.dtype.newbyteorder("=")
    assert second == Message("Sent", {"x": 2.0})
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
    stream = through_a_pipe(Sent(np.zeros(1000)))
    whole = stream.read()
    for length in (0, 10, len(whole) - 1):
        assert receive(io.BufferedReader(io.BytesIO(whole[:length]))) is None


def test_what_cannot_be_sent_is_refused():
    with pytest.raises(InputError, match="complex"):
        encode(Sent(np.zeros(3, complex)))
    with pytest.raises(InputError, match="too large"):
        encode(Sent(np.broadcast_to(np.zeros(1, np.uint8), (1 << 16, (1 << 14) + 1))))
    with pytest.raises(TypeError):
        encode(Sent(object()))


def test_a_request_and_an_answer_come_back_as_they_were():
    schedule = MaskingSchedule(64, sampler="top-k", beta_end=1.0, epochs=10, seed=7)
    request = MaskPreview(frame(64, 96), anatomy(), schedule, "m", epoch=3)
    again = decode(receive(through_a_pipe(request)), MaskPreview)
    assert (again.schedule, again.model, again.epoch) == (schedule, "m", 3)
    np.testing.assert_array_equal(again.frame, request.frame)
    np.testing.assert_array_equal(again.anatomy, request.anatomy)
    image = np.zeros((2, 2), np.float32)
    for made in (Reconstruction(image, image, 0.5), Reconstruction(image, image, 0.5, image, image, 0.25)):
        answer = decode(receive(through_a_pipe(made)), Reconstruction)
        assert (answer.l_rec, answer.l_cons) == (made.l_rec, made.l_cons)
        assert (answer.vessels is None) is (made.vessels is None)


def test_each_request_knows_its_answer():
    kinds = {Hello: Environment, Segment: Segmentation, MaskPreview: Mask, MaskingOverEpochs: OverEpochs}
    assert {kind: kind.answer_type() for kind in Service().handlers()} == kinds | {Reconstruct: Reconstruction}


@pytest.mark.parametrize("mirrored", [False, True])
def test_segmenting_is_predicting(service, mirrored):
    answer = service.segment(Segment(frame(), "vasomim-demo", mirrored))
    model = load_model("vasomim-demo")
    expected = model.predict(frame(), mirrored)
    np.testing.assert_array_equal(answer.probability, expected)
    np.testing.assert_array_equal(answer.uncertainty, uncertainty(expected))
    assert answer.threshold == model.card.preprocessing.threshold
    assert (answer.model, answer.device) == ("vasomim-demo", str(model.device))


def test_a_model_file_that_was_written_again_is_read_again(tmp_path):
    service, path = Service(), tmp_path / "m.safetensors"
    shutil.copy(WEIGHTS / "vasomim-demo.safetensors", path)
    before = service.segment(Segment(frame(), str(path))).probability
    torch.manual_seed(0)
    save_checkpoint(path, UNeXt().state_dict(), Card("segmentation model", "unext"))
    assert not np.array_equal(service.segment(Segment(frame(), str(path))).probability, before)


@pytest.mark.parametrize("with_model", [False, True])
def test_masking_is_that_of_the_engine(service, pretrained, with_model):
    schedule = MaskingSchedule(64, sampler="top-k", beta_start=0.0, beta_end=1.0, epochs=10, seed=7)
    image, m = frame(), anatomy(96, 80)
    masking = FrameMasking(image, m, schedule)
    about = (image, m, schedule, str(pretrained) if with_model else "")
    mask = masking.mask(9)
    assert (mask.masked != masking.mask(0).masked).any()
    pairs = [(MaskPreview(*about, epoch=9), mask), (MaskingOverEpochs(*about), masking.over_epochs())]
    if with_model:
        pairs.append((Reconstruct(*about, epoch=9), masking.reconstruct(mask, load_pretrained(pretrained)[0])))
    for request, expected in pairs:
        reply = asked(service, receive(through_a_pipe(request)))
        answer = decode(reply, request.answer_type())
        for name, value in vars(expected).items():
            np.testing.assert_array_equal(getattr(answer, name), value, err_msg=name)


def test_what_is_asked_of_one_frame_is_drawn_once(pretrained, monkeypatch):
    """The mask, its reconstruction and the curves share distribution and mask; another frame or setting has its own."""
    drawn, distributed = [], []
    monkeypatch.setattr(frame_masking, "sample_masks", lambda *a: drawn.append(1) or sample_masks(*a))
    monkeypatch.setattr(
        frame_masking, "vascular_distribution", lambda *a: distributed.append(1) or vascular_distribution(*a)
    )
    service, schedule = Service(), MaskingSchedule(64, epochs=10)
    about = (frame(), anatomy(96, 80), schedule)
    mask = service.mask_preview(MaskPreview(*about, "", epoch=4))
    service.reconstruct(Reconstruct(*about, str(pretrained), epoch=4))
    service.masking_over_epochs(MaskingOverEpochs(*about, ""))
    assert (len(drawn), len(distributed)) == (1, 1)
    others = [(255 - about[0], *about[1:]), (about[0], ~about[1], schedule), (*about[:2], replace(schedule, seed=1))]
    for other in (others[0], about, others[1], about, others[2]):
        found = service.mask_preview(MaskPreview(*other, "", epoch=4))
        same = [np.array_equal(getattr(found, name), getattr(mask, name)) for name in ("image", "f", "masked")]
        assert all(same) is (other is about)
    assert (len(drawn), len(distributed)) == (6, 6)


def asked(service, message: Message) -> Message:
    return receive(io.BufferedReader(io.BytesIO(b"".join(reply_to(message, service.handlers())))))


@pytest.mark.parametrize(
    ("kind", "values", "error", "says"),
    [
        ("Segment", SEGMENT | {"model": "nobody"}, CheckpointError, "known models: .*vasomim-demo"),
        ("Segment", SEGMENT | {"frame": frame() / 255}, InputError, "float64"),
        ("Segment", SEGMENT | {"frame": "text"}, InputError, "frame is str"),
        ("Segment", SEGMENT | {"model": 5}, InputError, "model is int; give str"),
        ("Segment", SEGMENT | {"x": 1}, InputError, "came with frame, model, mirrored, x; give frame, model, mirrored"),
        ("Segment", {}, InputError, "Segment came with nothing; give frame"),
        ("MaskPreview", PREVIEW | {"schedule": {"patch_size": 0}}, ConfigError, "patch_size is 0"),
        ("MaskPreview", PREVIEW | {"schedule": {"patch_size": 24}}, ConfigError, "divide into patches of 24"),
        ("MaskPreview", PREVIEW | {"schedule": {"sampler": "best"}}, ConfigError, "sampler is 'best'"),
        ("MaskPreview", PREVIEW | {"schedule": {"luck": 1}}, ConfigError, "unknown setting 'luck'"),
        ("MaskPreview", PREVIEW | {"schedule": 3}, InputError, "schedule is int; give MaskingSchedule"),
        ("MaskPreview", PREVIEW | {"epoch": 200}, ConfigError, "epoch 200 of 200"),
        ("MaskPreview", PREVIEW | {"schedule": {"co_guidance": True}}, ConfigError, "asks a model's segmentor"),
        ("MaskPreview", PREVIEW | {"frame": frame()}, InputError, "64×96 px.*96×80 px"),
        ("MaskingOverEpochs", MASKING | {"frame": anatomy()}, InputError, "frame is bool"),
        ("Reconstruct", PREVIEW, ConfigError, "no model is given"),
        ("Reconstruct", PREVIEW | {"model": "vasomim-encoder", "schedule": {"patch_size": 8}}, ConfigError, "16 px"),
        ("Reconstruct", PREVIEW | {"model": "vasomim-fast"}, CheckpointError, "is a segmentation model"),
        ("Explode", {}, ConfigError, "unknown request 'Explode'.*Segment"),
    ],
)
def test_bad_requests_get_a_sentence(service, kind, values, error, says):
    failure = decode(asked(service, Message(kind, values)), Failure)
    assert (failure.type, failure.report) == (error.__name__, "")
    with pytest.raises(error, match=says):
        raise error(failure.message)


def test_the_unexpected_gets_a_report_without_values():
    @dataclass(frozen=True)
    class Lose(Request[Environment]):
        name: str

    def lose(request):
        raise KeyError(request.name)

    message = Message("Lose", {"name": "Doe^Jane"})
    reply = receive(io.BufferedReader(io.BytesIO(b"".join(reply_to(message, {Lose: lose})))))
    failure = decode(reply, Failure)
    assert "in lose" in failure.report
    assert "KeyError" in failure.report
    assert "Doe" not in failure.report


def test_the_child_ends_in_the_midst_of_its_work_when_its_parent_is_killed(tmp_path):
    """The parent is killed while its child sleeps in a request of ten minutes."""
    child = "import time, os; from vasomim_core.inference.service import serve\n"
    child += "from vasomim_core.inference.requests import Hello\n"
    child += "def work(_): print(os.getpid(), flush=True); time.sleep(600)\n"
    child += "serve({Hello: work})"
    parent = f"""
import subprocess, sys
from vasomim_core.inference.messages import encode, send
from vasomim_core.inference.requests import Hello
child = subprocess.Popen([sys.executable, "-c", {child!r}], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
send(child.stdin, encode(Hello()))
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
