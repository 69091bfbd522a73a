"""int8 on processors with fewer features: what is hidden, what is measured, and the page."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks import hidden_features
from benchmarks.hidden_features import (
    CPUID,
    CPUINFO,
    DOT_PRODUCTS,
    FEATURES,
    NEEDED,
    UD0,
    build,
    environment,
    packages,
    seen,
)
from benchmarks.processors import (
    CONTROL,
    PROCESSORS,
    RESULT,
    Processors,
    Row,
    agreement,
    compare,
    model_files,
    page,
    public_test,
    summary,
    table,
    timing,
)
from benchmarks.provenance import Provenance
from benchmarks.result_files import write_results
from recognizer.classifier import Classifier
from stages.dataset.faces import SPLITS
from tests.faces_fixture import random_faces, write_faces
from tests.model_fixture import write_tiny_model

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "models/sample/model.onnx"
SOURCE = Provenance("sample `0123456789ab`", "`0123abc`", "a machine")
NEEDS_FEATURES = pytest.mark.skipif(
    not CPUINFO.exists()
    or NEEDED not in CPUINFO.read_text().split()
    or not all(map(shutil.which, ("gcc", "objdump"))),
    reason=f"needs gcc, objdump, and {NEEDED} in {CPUINFO}",
)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return build(tmp_path_factory.mktemp("library"))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the released int8 model of the sample, another as its float32, and 150 faces.

    float32.onnx of the sample is not in git.
    """
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models/sample").mkdir(parents=True)
    (tmp_path / "data/sample").mkdir(parents=True)
    shutil.copy(SAMPLE, "models/sample")
    digest = Classifier(SAMPLE).metadata.parameters_digest
    write_tiny_model(Path("models/sample/float32.onnx"), metadata={"parameters_digest": digest})
    images, labels, _ = random_faces(np.arange(150) % 7)
    split = np.full(150, SPLITS.index("PublicTest"), np.uint8)
    write_faces(Path("data/sample/faces.npz"), images, labels, split)
    return tmp_path


# ---------------------------------------------------------------- hidden features


def run_hidden(library: Path, hidden, code: str, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", code]
    variables = environment(library, hidden)
    return subprocess.run(command, env=variables, capture_output=True, text=True, **options)


@NEEDS_FEATURES
def test_a_process_sees_all_features_but_the_hidden_ones(library):
    everything = seen(library, ())
    assert {"avx512f", "avx512_vnni"} <= everything
    assert seen(library, DOT_PRODUCTS) == everything - DOT_PRODUCTS.keys()
    assert "avx512f" in seen(library, DOT_PRODUCTS)
    assert seen(library, FEATURES) == set()


@NEEDS_FEATURES
def test_a_child_process_sees_no_more(library):
    show = [sys.executable, "-m", "benchmarks.hidden_features"]
    child = f"import subprocess; subprocess.run({show}, check=True)"
    visible = run_hidden(library, (), child, cwd=ROOT, check=True).stdout.split()
    hidden = run_hidden(library, DOT_PRODUCTS, child, cwd=ROOT, check=True).stdout.split()
    assert set(visible) - set(hidden) == set(visible) & DOT_PRODUCTS.keys() != set()


@NEEDS_FEATURES
def test_the_installed_onnxruntime_stays_as_it_is(library):
    (name,) = (path.name for path in packages(library).glob("onnxruntime/capi/*pybind*.so"))
    installed = Path(onnxruntime.__file__).parent / "capi" / name
    copied = packages(library) / "onnxruntime/capi" / name
    cpuid = installed.read_bytes().count(CPUID) - copied.read_bytes().count(CPUID)
    assert cpuid == copied.read_bytes().count(UD0) - installed.read_bytes().count(UD0) > 10


WEIGHTS_IN_PAIRS = """
import sys
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.stdin.buffer.read(), providers=["CPUExecutionProvider"])
found = session.run(None, {"activations": np.full((4, 8), 255, np.uint8)})[0]
print(*np.unique(found))
"""


@NEEDS_FEATURES
@pytest.mark.parametrize("processor", list(PROCESSORS))
@pytest.mark.parametrize(("weight", "largest"), [(64, 8 * 255 * 64), (127, 8 * 255 * 127)])
def test_onnxruntime_adds_in_16_bits_without_vnni_and_weights_of_seven_bits_fit(
    library, processor, weight, largest
):
    node = helper.make_node("MatMulInteger", ["activations", "weights"], ["sums"])
    graph = helper.make_graph(
        [node],
        "products",
        [helper.make_tensor_value_info("activations", TensorProto.UINT8, (4, 8))],
        [helper.make_tensor_value_info("sums", TensorProto.INT32, (4, 16))],
        [numpy_helper.from_array(np.full((8, 16), weight, np.int8), "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    done = subprocess.run(
        [sys.executable, "-c", WEIGHTS_IN_PAIRS],
        env=environment(library, PROCESSORS[processor]),
        input=model.SerializeToString(),
        capture_output=True,
        check=True,
    )
    # Four pairs of products; a pair beyond 16 bits is cut to the largest number.
    overflows = weight == 127 and PROCESSORS[processor]
    assert int(done.stdout) == (4 * 32767 if overflows else largest)


@NEEDS_FEATURES
def test_another_invalid_instruction_still_ends_the_process(library):
    ud2 = """
import ctypes, mmap
code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(b"\\x0f\\x0b")
ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
"""
    assert run_hidden(library, FEATURES, ud2).returncode == -signal.SIGILL


@NEEDS_FEATURES
@pytest.mark.parametrize("item", ["2:eax:4", "0:esi:4", "0:eax:32", "avx2"])
def test_a_feature_that_cannot_be_read_is_an_error(library, item):
    variables = environment(library, ()) | {"HIDDEN_FEATURES": f"0:ecx:11,{item}"}
    done = subprocess.run(["true"], env=variables, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == f"HIDDEN_FEATURES: expected SUBLEAF:REGISTER:BIT: {item}\n"


def test_what_the_machine_lacks_is_an_error_of_one_line(tmp_path, monkeypatch):
    flags = tmp_path / "cpuinfo"
    monkeypatch.setattr(hidden_features, "CPUINFO", flags)
    with pytest.raises(SystemExit, match=r"cpuinfo: no avx512_vnni: nothing to compare; measure"):
        build(tmp_path)
    flags.write_text("flags: fpu avx2\n")
    with pytest.raises(SystemExit, match=r"cpuinfo: no avx512_vnni: nothing to compare; measure"):
        build(tmp_path)
    flags.write_text("flags: fpu avx2 avx512_vnni\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match=r"error: gcc: not found; install it, it compiles"):
        build(tmp_path)
    (tmp_path / "gcc").symlink_to("/bin/true")
    with pytest.raises(SystemExit, match=r"error: objdump: not found; install it, it finds CPUID"):
        build(tmp_path)


# ---------------------------------------------------------------- the measurement


@NEEDS_FEATURES
def test_int8_gives_the_same_answers_on_each_processor(folder):
    files = {"sample": model_files("sample", folder)}
    faces = {"sample": public_test("sample")}
    rows = compare(files, faces, rounds=2, timed=5, processors=Processors(folder))
    assert [(row.processor, row.file) for row in rows] == [
        (processor, file) for processor in PROCESSORS for file in ("int8", "float32", CONTROL)
    ]
    labels = faces["sample"].labels
    answers = Classifier(SAMPLE).predict(faces["sample"].images).argmax(axis=1)
    for row in rows:
        if row.file == CONTROL:
            assert (row.median_ms, row.relative) == (None, None)
            # Whether its sums overflow depends on the model; a test above has sums that do.
            if row.processor != "all features":
                continue
        else:
            assert row.median_ms > 0
        assert row.same_emotion == 1 and row.largest_difference < 1e-5
        if row.file == "int8":
            assert row.accuracy == np.mean(answers == labels)
            assert 0 < row.relative_low <= row.relative <= row.relative_high


@NEEDS_FEATURES
def test_the_command_measures_times_without_faces_and_says_so(folder):
    Path("data/sample/faces.npz").unlink()
    command = [sys.executable, "-m", "benchmarks.processors", "sample", "--rounds=1", "--timed=5"]
    done = subprocess.run(
        [*command, "--result=found.csv"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"warning: data/sample/faces.npz: not found; .*sample are left", done.stderr)
    with Path("found.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(PROCESSORS) * 3
    assert all(float(row["median_ms"]) > 0 for row in rows if row["file"] != CONTROL)
    assert {row["accuracy"] for row in rows} == {""}
    assert done.stdout.strip() == Path("found.md").read_text().strip()


def test_the_control_has_twice_the_weights_of_half_the_scale(folder):
    paths = model_files("sample", folder)
    before, after = (
        {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}
        for path in (paths["int8"], paths[CONTROL])
    )
    weights = [name for name, array in before.items() if array.dtype == np.int8 and array.ndim == 4]
    assert len(weights) > 3
    for name in weights:
        assert np.abs(before[name]).max() == 64
        assert (after[name] == np.clip(2 * before[name].astype(int), -127, 127)).all()


def test_files_are_checked_before_anything_is_measured(folder):
    int8, float32 = Path("models/sample/model.onnx"), Path("models/sample/float32.onnx")
    write_tiny_model(float32, metadata={"parameters_digest": "0b" * 32})
    with pytest.raises(SystemExit, match=r"sample/float32.onnx: not of the training of model.onnx"):
        model_files("sample", folder)
    shutil.copy(float32, int8)
    with pytest.raises(SystemExit, match=r"sample/model.onnx: its weights are not quantized; only"):
        model_files("sample", folder)
    int8.write_bytes(b"no model")
    with pytest.raises(SystemExit, match=r"error: models/sample/model.onnx: not an ONNX model"):
        model_files("sample", folder)
    float32.unlink()
    with pytest.raises(SystemExit, match=r"sample/float32.onnx: not found; `dvc repro` or `dvc"):
        model_files("sample", folder)


def test_times_are_divided_round_by_round():
    times = {"int8": [1.0, 4.0, 2.0], "float32": [2.0, 16.0, 2.0]}
    assert timing(times, "int8") == {
        "median_ms": 2.0,
        "relative": 0.5,
        "relative_low": 0.25,
        "relative_high": 1.0,
    }
    assert timing(times, "float32") == {"median_ms": 2.0}
    assert timing(times, CONTROL) == {}


def test_agreement():
    reference = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7]])
    found = agreement(reference - [[0, 0], [0.3, -0.3], [0, 0], [0, 0]], reference, [0, 1, 1, 0])
    assert found["accuracy"] == 0.75
    assert found["same_emotion"] == 0.75
    assert found["largest_difference"] == pytest.approx(0.3)


# ---------------------------------------------------------------- the page

ROWS = [
    Row("sample", "all features", "int8", 0.1, 0.25, 0.2, 0.3, 0.9, 1.0, 0.0),
    Row("sample", "all features", "float32", 0.4, None, None, None, 0.9, 1.0, 0.0),
    Row("sample", "AVX2", "int8", 0.6, 1.5, 1.4, 1.6, 0.9, 0.99, 0.02),
    Row("sample", "AVX2", CONTROL, None, None, None, None, 0.5, 0.6, 0.7),
]


def test_the_page_says_where_int8_is_slower_and_how_far_the_answers_differ(tmp_path):
    text = page(ROWS, 3, 5, {"sample": SOURCE})
    assert "int8 takes 0.25 to 1.50 of the time of float32." in text
    assert "Where it is slower: sample, AVX2.\n" in text
    assert "- int8: a probability differs by at most 0.02 from that with all features;" in text
    assert f"- {CONTROL}: a probability differs by at most 0.7 " in text
    assert "the same for 99.00 % of the faces or more" in text
    assert "`python -m benchmarks.processors sample`" in text
    assert "- float32: all answers are those with all features, to the last digit." in text
    assert "Where it is slower: nowhere." in summary(ROWS[:2])
    float32 = replace(ROWS[1], largest_difference=1e-6)
    assert "at most 1e-06 from that with all features; the emotion is the same for all" in summary(
        [ROWS[0], float32]
    )
    write_results(tmp_path / "processors.csv", ROWS, text)
    assert json.loads(pd.read_csv(tmp_path / "processors.csv")["relative"].to_json())["2"] == 1.5


def test_what_was_not_measured_is_a_dash():
    lines = table([*ROWS, Row("sample", "AVX2", "float32", 0.4)]).splitlines()[2:]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert cells[2][3:] == ["0.60", "1.50 (1.40–1.60)", "0.9000", "0.9900", "0.02"]
    assert cells[3][3:] == ["–", "–", "0.5000", "0.6000", "0.7"]
    assert cells[4][3:] == ["0.40", "–", "–", "–", "–"]
    assert summary([Row("sample", "AVX2", "int8", 0.4, 0.5, 0.5, 0.5)]).endswith("nowhere.")


def test_the_committed_page_has_the_rows_of_its_csv_file():
    found = pd.read_csv(RESULT).astype(object)
    rows = [Row(**row) for row in found.where(found.notna(), None).to_dict("records")]
    text = RESULT.with_suffix(".md").read_text()
    assert table(rows) in text and summary(rows) in text
