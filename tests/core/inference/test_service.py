"""What the inference child answers, and that nothing but the end of its input ends it."""

from __future__ import annotations

import io
import json
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
from vasomim_core.inference import service as service_module
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
MASKING = {"frame": frame(64, 96), "anatomy": anatomy(), "schedule": {}, "model": "", "guide": ""}
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


def test_a_header_may_have_one_mib_to_the_byte():
    line = b'{"kind": "Sent", "values": {"x": "%s"}, "arrays": []}\n'
    text = "x" * ((1 << 20) - len(line) + 2)
    (sent,) = encode(Sent(text))
    assert len(sent) == 1 << 20
    assert receive(through_a_pipe(Sent(text))) == Message("Sent", {"x": text})
    with pytest.raises(InputError, match="take 1048577 bytes"):
        encode(Sent(text + "x"))
    with pytest.raises(InputError, match="something else than messages"):
        receive(io.BufferedReader(io.BytesIO(line.replace(b"%s", text.encode() + b"x"))))


def test_a_message_may_have_32_arrays_and_one_gib():
    def header(*shapes: tuple[int, ...], dtype: str = "uint8") -> io.BufferedReader:
        arrays = [[f"a{n}", dtype, shape] for n, shape in enumerate(shapes)]
        line = json.dumps({"kind": "x", "values": {}, "arrays": arrays}).encode() + b"\n"
        return io.BufferedReader(io.BytesIO(line))

    assert len(receive(header(*[(0,)] * 32)).values) == 32
    with pytest.raises(InputError, match="33 arrays is too much; send at most 32"):
        receive(header(*[(0,)] * 33))
    assert receive(header((1 << 29,), (1 << 29,))) is None  # permitted, and cut off
    assert receive(header((1 << 14, 1 << 13), dtype="float64")) is None
    for shapes, dtype in ((((1 << 29,), (1 << 29,), (1,)), "uint8"), (((1 << 27,), (1,)), "float64")):
        with pytest.raises(InputError, match="a message of 1024 MB is too large; send at most 1024 MB"):
            receive(header(*shapes, dtype=dtype))
    for side in (-1, 1.0, "1", None, True):
        with pytest.raises(InputError, match="impossible shape"):
            receive(header((side,)))


def test_the_child_keeps_its_streams_for_messages_and_tells_how_it_ended():
    child = """
import os
from vasomim_core.inference.requests import Hello
from vasomim_core.inference.service import serve
def leads_nowhere(number):
    try:
        return os.path.samestat(os.fstat(number), os.stat(os.devnull))
    except OSError:
        return False
def work(_):
    print("heard", flush=True)
    return Hello() if [n for n in range(99) if leads_nowhere(n)] == [0] else None
serve({Hello: work})
"""
    hello = b"".join(encode(Hello()))
    for sent, code, said in ((hello * 2, 0, b"heard\n" * 2), (hello + b"{}\n", 1, b"the stream holds something else")):
        with subprocess.Popen([sys.executable, "-c", child], stdin=-1, stdout=-1, stderr=-1) as process:
            process.stdin.write(hello)
            process.stdin.flush()
            assert receive(process.stdout) == Message("Hello", {})
            process.stdin.write(sent[len(hello) :])
            process.stdin.flush()
            if code == 0:
                assert receive(process.stdout) == Message("Hello", {})
            process.stdin.close()
            assert process.wait(60) == code
            assert said in process.stderr.read()
            assert process.stdout.read() == b""


def test_the_child_ends_with_its_work_though_its_input_is_still_open():
    child = """
import sys
from vasomim_core.inference.requests import Hello
from vasomim_core.inference.service import serve
serve({Hello: lambda _: sys.exit(3)})
"""
    with subprocess.Popen([sys.executable, "-c", child], stdin=-1, stdout=-1) as process:
        try:
            send(process.stdin, encode(Hello()))
            assert process.wait(30) == 3
        finally:
            process.kill()


@pytest.mark.parametrize(("threads", "left"), [(8, 7), (3, 2), (2, None), (1, None)])
@pytest.mark.parametrize("told", [False, True])
def test_a_core_is_left_to_the_window_unless_it_is_told_otherwise(monkeypatch, threads, left, told):
    chosen = []
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if told:
        monkeypatch.setenv("OMP_NUM_THREADS", "4")
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    service_module._choose_threads.__wrapped__()
    assert chosen == ([left] if left and not told else [])


def test_who_says_hello_has_a_core_left_to_it_once(monkeypatch):
    chosen = []
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    service_module._choose_threads.cache_clear()
    for _ in range(2):
        Service().hello(Hello())
    assert chosen == [7]


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
def test_want_of_memory_says_what_to_do(error):
    def fail(_):
        raise error

    reply = receive(io.BufferedReader(io.BytesIO(b"".join(reply_to(Message("Hello", {}), {Hello: fail})))))
    assert decode(reply, Failure).message.startswith("there is not enough memory")


def test_the_two_models_used_last_stay_loaded(monkeypatch, tmp_path):
    loaded = []
    monkeypatch.setattr(service_module, "_load", lambda loader, path, changed: loaded.append(path.stem) or path.stem)
    for name in "abc":
        (tmp_path / f"{name}.safetensors").touch()
    service = Service()
    for name in "ababcbca":
        assert service._model("load_model", str(tmp_path / f"{name}.safetensors")) == name
    assert loaded == ["a", "b", "c", "a"]


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
