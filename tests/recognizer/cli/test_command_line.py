"""`python -m recognizer`: its output, its files and its errors."""

import csv
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint, distributions
from math import exp
from pathlib import Path

import cv2
import numpy as np
import pytest
from distributed import LocalCluster

from recognizer.cli.main import main
from recognizer.released_models import find_model
from recognizer.video.reader import Video
from tests.model_fixture import LABELS, write_tiny_model
from tests.portrait_fixture import portrait
from tests.recognizer.cli.terminal_fixture import run_on_a_terminal
from tests.recognizer.video_fixture import cut, trim, write_frames, write_video

ROOT = Path(__file__).parents[3]


@pytest.fixture
def photos(tmp_path):
    """A photo with a face, one without, a damaged one, and a text file."""
    cv2.imwrite(str(tmp_path / "face.jpg"), portrait())
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((100, 150), 90, np.uint8))
    (tmp_path / "cut.png").write_bytes((tmp_path / "grey.png").read_bytes()[:60])
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


@pytest.fixture
def recognize(tmp_path, model_path, monkeypatch, capsys):
    """Run the command in the temporary folder; return exit status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        arguments = ["--model", model_path, *arguments]
        monkeypatch.setattr(sys, "argv", ["recognize-emotions", *map(str, arguments)])
        status = main()
        return status, *capsys.readouterr()

    return call


def start(folder, *arguments, limit=resource.RLIM_INFINITY, pipe_bytes=-1):
    """Start the command as a process.

    None of its files can grow over `limit` bytes; its pipes hold `pipe_bytes`. Python writes no
    bytecode: within a limit it would leave cut-off .pyc files of the installed packages.
    """

    def prepare():
        # A background job of a shell script ignores SIGINT, and its child processes inherit this.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.Popen(
        [sys.executable, "-m", "recognizer", *map(str, arguments)],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHONIOENCODING": "utf-8",
            "PYTHONDONTWRITEBYTECODE": "1" if limit != resource.RLIM_INFINITY else "",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        preexec_fn=prepare,
        pipesize=pipe_bytes,
    )


def finished(process):
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# ---------------------------------------------------------------- what is printed


def test_the_table_on_the_terminal(photos, recognize):
    status, out, err = recognize("face.jpg", "grey.png")
    assert (status, err) == (0, "")
    head, face, none = out.splitlines()
    assert head.split() == ["emotion", *LABELS, "size", "and", "place", "conf", "file"]
    emotion, share, *numbers = face.split()
    assert emotion in LABELS
    percents = [int(number) for number in numbers[: len(LABELS)]]
    assert share == f"{max(percents)}%"
    assert LABELS[percents.index(max(percents))] == emotion
    assert sum(percents) == pytest.approx(100, abs=4)
    for line, path in ((face, "face.jpg"), (none, "grey.png")):
        assert line.index(path) == head.index("file")
    assert none.startswith("no face ")


def test_json_lines(photos, recognize, classifier):
    status, out, _ = recognize("face.jpg", "grey.png", "--faces", "whole", "--json")
    assert status == 0
    _, answer = map(json.loads, out.splitlines())
    assert answer["path"] == "grey.png"
    assert answer["image"] == {"width": 150, "height": 100}
    assert answer["model"] == {"version": classifier.version, "dataset": "tiny"}
    (face,) = answer["faces"]
    assert face["box"] == {"x": 0, "y": 0, "width": 150, "height": 100}
    assert face["confidence"] == 1
    assert sum(face["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert max(face["probabilities"], key=face["probabilities"].get) == face["emotion"]


def test_unreadable_files_give_their_errors(photos, recognize):
    names = ["notes.txt", "face.jpg", "absent.jpg", "cut.png", "*.gif"]
    status, out, err = recognize(*names, "--json")
    assert status == 1
    answers = [json.loads(line) for line in out.splitlines()]
    assert [answer["path"] for answer in answers] == names
    assert ["error" in answer for answer in answers] == [True, False, True, True, True]
    assert answers[2] == {"path": "absent.jpg", "error": "No such file or directory"}
    lines = [f"error: {a['path']}: {a['error']}" for a in answers if "error" in a]
    assert err.splitlines() == lines


def test_faces_below_the_least_confidence_are_left_out(photos, recognize):
    assert recognize("face.jpg", "--min-confidence", "1")[1].splitlines()[1].startswith("no face")


def test_no_align_keeps_the_tilt(recognize):
    tilted = cv2.warpAffine(
        portrait(),
        cv2.getRotationMatrix2D((320, 240), 20, 1),
        (640, 480),
        borderValue=(128, 128, 128),
    )
    cv2.imwrite("tilted.png", tilted)
    faces = []
    for option in ("--align", "--no-align"):
        status, out, _ = recognize("tilted.png", option, "--json")
        assert status == 0
        faces += json.loads(out)["faces"]
    aligned, upright = faces
    assert aligned["box"] == upright["box"]
    assert aligned["probabilities"] != upright["probabilities"]


# ---------------------------------------------------------------- videos


def test_a_face_in_a_video_keeps_its_person(recognize, tmp_path):
    write_video(tmp_path / "a.mp4")
    status, out, err = recognize("a.mp4", "--json")
    assert (status, err) == (0, "")
    answers = [json.loads(line) for line in out.splitlines()]
    assert [answer["frame"] for answer in answers] == list(range(50))
    assert [answer["seconds"] for answer in answers] == pytest.approx([k / 25 for k in range(50)])
    # The face on the right is hidden from frame 20 to 25 and is the same person afterwards.
    seen = {}
    for answer in answers:
        for face in answer["faces"]:
            side = "left" if face["box"]["x"] < 160 else "right"
            seen.setdefault((side, face["person"]), []).append(answer["frame"])
    assert sorted(side for side, _ in seen) == ["left", "right"]
    assert {person for _, person in seen} == {1, 2}
    gap = next(frames for (side, _), frames in seen.items() if side == "right")
    assert gap == [*range(20), *range(25, 50)]


def test_every_nth_frame_and_smoothing(recognize, tmp_path):
    write_video(tmp_path / "a.mp4")
    answers = {}
    for smooth in ("0", "0.5"):
        _, out, _ = recognize("a.mp4", "--every", "10", "--smooth", smooth, "--json")
        answers[smooth] = [json.loads(line) for line in out.splitlines()]
    assert [answer["frame"] for answer in answers["0"]] == [0, 10, 20, 30, 40]

    def left(smooth, number):
        (face,) = [f for f in answers[smooth][number]["faces"] if f["box"]["x"] < 160]
        return np.array(list(face["probabilities"].values()))

    smoothed = left("0", 0)
    for number in range(1, 5):
        smoothed += (1 - exp(-0.4 / 0.5)) * (left("0", number) - smoothed)
        np.testing.assert_allclose(left("0.5", number), smoothed, atol=1e-5)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_cut_ends_a_person_and_the_smoothing(recognize, tmp_path, workers):
    # Two scenes with a face at the same place.
    first, second = portrait(), cv2.bitwise_not(portrait(seed=3))
    second[120:360, 200:440] = portrait(seed=3)[120:360, 200:440]
    first[:, :180], second[:, 460:] = (200, 90, 30), (20, 60, 190)
    write_frames(tmp_path / "a.mp4", [first] * 3 + [second] * 3)
    faces = {}
    for smooth in ("0", "5"):
        _, out, _ = recognize("a.mp4", "--smooth", smooth, "--json", "--workers", workers)
        faces[smooth] = [face for line in out.splitlines() for face in json.loads(line)["faces"]]
    for smooth in ("0", "5"):
        assert [face["person"] for face in faces[smooth]] == [1] * 3 + [2] * 3
    assert faces["5"][3]["probabilities"] == faces["0"][3]["probabilities"]


def test_the_table_of_a_video_has_time_and_person(recognize, tmp_path):
    write_video(tmp_path / "a.mp4", frames=30)
    _, out, _ = recognize("a.mp4", "--every", "29")
    assert [line.partition("a.mp4 ")[2] for line in out.splitlines()[1:]] == [
        "0:00.000 person 1",
        "0:00.000 person 2",
        "0:01.160 person 1",
        "0:01.160 person 2",
    ]


def test_a_video_cut_short_is_an_error_after_its_frames(recognize, tmp_path):
    cut(write_video(tmp_path / "a.avi"), 2 / 3)
    status, out, err = recognize("a.avi", "--json", "--annotate", "b.mp4")
    *frames, last = map(json.loads, out.splitlines())
    assert status == 1
    assert 10 < len(frames) < 45
    assert all("error" not in frame for frame in frames)
    assert last["error"].startswith("cut short: ")
    assert err == f"error: a.avi: {last['error']}\n"
    with Video(Path("b.mp4")) as video:
        assert len(list(video.frames())) == len(frames)


def test_a_trimmed_video_with_longer_sound_is_no_error(recognize, tmp_path):
    whole = write_video(tmp_path / "whole.mp4", frames=30)
    trim(whole, tmp_path / "a.mp4", 0.4)
    write_video(tmp_path / "b.webm", frames=5, sound=(0, 2))
    status, out, err = recognize("a.mp4", "b.webm", "--every", "5", "--json")
    assert (status, err) == (0, "")
    answers = [json.loads(line) for line in out.splitlines()]
    assert [(a["path"], a["seconds"]) for a in answers] == [
        ("a.mp4", 0.0),
        ("a.mp4", 0.2),
        ("a.mp4", 0.4),
        ("a.mp4", 0.6),
        ("b.webm", pytest.approx(0, abs=0.01)),
    ]


# ---------------------------------------------------------------- files that are written


def test_a_csv_has_a_row_per_face_and_per_error_and_nothing_is_printed(photos, recognize):
    status, out, err = recognize(".", "absent.jpg", "--csv", "out.csv")
    assert (status, out) == (1, "")
    assert err.splitlines()[-1] == "cannot be read: 2 inputs; see out.csv"
    table = {row["path"]: row for row in rows(photos / "out.csv")}
    assert list(table) == ["cut.png", "face.jpg", "grey.png", "absent.jpg"]
    assert table["face.jpg"]["emotion"] in LABELS
    assert table["absent.jpg"]["error"] == "No such file or directory"
    assert table["grey.png"]["settings"] == (
        "faces=yunet align=yes min_confidence=0 every=1 smooth=0.5"
    )


def test_a_finished_csv_still_reports_its_errors(photos, recognize):
    names = ["absent.jpg", "grey.png", "face.jpg"]
    recognize(*names, "--csv", "out.csv")
    before = (photos / "out.csv").read_bytes()
    status, _, err = recognize(*names, "--csv", "out.csv")
    assert (photos / "out.csv").read_bytes() == before
    assert status == 1
    assert err.splitlines() == [
        "out.csv: resuming after 2 inputs",
        "cannot be read: 1 inputs; see out.csv",
    ]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_killed_run_is_resumed_where_its_csv_ends(photos, recognize, model_path, workers):
    names = [f"{number:02}.png" for number in range(40)]
    for name in names:
        (photos / name).write_bytes((photos / "grey.png").read_bytes())
    recognize(*names, "--csv", "whole.csv", "--faces", "whole")
    arguments = [*names, "--csv", "out.csv", "--faces", "whole", "--model", model_path]
    # Nobody reads the JSON lines: the run stops when the pipe is full.
    process = start(photos, *arguments, "--workers", workers, "--json", pipe_bytes=4096)
    while not (photos / "out.csv").exists() or len(rows(photos / "out.csv")) < 5:
        assert process.poll() is None
    process.kill()
    process.communicate()  # waits for its workers, too
    stopped = (photos / "out.csv").read_bytes()
    done = len(rows(photos / "out.csv"))
    assert 5 <= done <= 20

    (photos / "out.csv").write_bytes(stopped + names[done].encode() + b",,,,0,0,15")
    status, _, err = recognize(*arguments[:-2])
    assert status == 0
    assert "out.csv: resuming after " in err
    assert (photos / "out.csv").read_bytes() == (photos / "whole.csv").read_bytes()


def test_rows_of_another_model_or_other_settings_are_not_mixed(photos, recognize, tmp_path):
    recognize("face.jpg", "grey.png", "--csv", "out.csv")
    before = (photos / "out.csv").read_bytes()
    other = write_tiny_model(tmp_path / "other.onnx", metadata={"data_digest": "2c" * 32})
    for arguments in (["--faces", "whole"], ["--model", other], ["--no-align"]):
        status, out, err = recognize("grey.png", "--csv", "out.csv", *arguments)
        assert (status, out) == (1, "")
        assert err.startswith("error: out.csv: was made by model ")
        assert len(err.splitlines()) == 1
    assert (photos / "out.csv").read_bytes() == before


def test_annotated_copies_of_one_and_of_many_inputs(photos, recognize):
    write_video(photos / "sub.mp4", frames=3)
    assert recognize("face.jpg", "--annotate", "one.png")[0] == 0
    assert cv2.imread("one.png").shape == (480, 640, 3)
    assert (cv2.imread("one.png") != cv2.imread("face.jpg")).any()
    for _ in range(2):  # the copies are not inputs of the second run
        assert recognize(".", "--annotate", "many")[0] == 1
        names = sorted(path.name for path in Path("many").iterdir())
        assert names == ["face.jpg", "grey.png", "one.png", "sub.mp4"]


def test_plots_of_one_and_of_many_inputs(photos, recognize):
    write_video(photos / "a.mp4", frames=5)
    assert recognize("a.mp4", "--plot", "one.png")[0] == 0
    assert cv2.imread("one.png") is not None
    assert recognize("a.mp4", "grey.png", "--plot", "many")[0] == 0
    assert [path.name for path in Path("many").iterdir()] == ["a.mp4.png"]
    status, _, err = recognize("grey.png", "--plot", "none.png")
    assert (status, err) == (
        1,
        "error: --plot: there is no video among the inputs; name one or omit --plot\n",
    )


@pytest.mark.parametrize(
    ("option", "name", "limit"),
    [
        ("--csv", "a.csv", 700),
        ("--plot", "a.png", 1500),
        ("--plot", "a.svg", 1500),
        ("--plot", "a.pdf", 1500),
        ("--annotate", "a.mp4", 5000),
        ("--annotate", "a.webm", 5000),
    ],
)
def test_a_full_disk_is_an_error_of_one_line_and_the_old_file_is_kept(
    tmp_path, model_path, recognize, option, name, limit
):
    write_video(tmp_path / "v.mp4", frames=10)
    old = b""
    if option == "--csv":
        recognize("v.mp4", "--every", "9", option, name)
        old = (tmp_path / name).read_bytes()[:600].rpartition(b"\n")[0] + b"\n"
    (tmp_path / name).write_bytes(old or b"a good file")
    status, _, err = finished(
        start(
            tmp_path,
            *("v.mp4", "--every", "9", option, name, "--model", model_path, "--json"),
            limit=limit,
        )
    )
    assert status == 1
    path = name if option == "--csv" else tmp_path / name
    assert err == f"error: {path}: cannot be written: File too large\n"
    assert (tmp_path / name).read_bytes().startswith(old or b"a good file")
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".onnx") == sorted(
        ["v.mp4", name]
    )


# ---------------------------------------------------------------- processes


def test_workers_and_dask_write_the_same_files(tmp_path, recognize):
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in/face.png"), portrait())
    write_video(tmp_path / "in/v.mp4", frames=6)
    recognize("in", "--csv", "here.csv", "--annotate", "here")
    assert recognize("in", "--csv", "two.csv", "--workers", "2", "--annotate", "two")[0] == 0
    with LocalCluster(
        n_workers=1, processes=False, protocol="tcp", dashboard_address=None
    ) as cluster:
        options = ["--csv", "dask.csv", "--dask", cluster.scheduler_address]
        assert recognize("in", *options, "--annotate", "dask")[0] == 0
    for other in ("two", "dask"):
        assert Path(f"{other}.csv").read_bytes() == Path("here.csv").read_bytes()
        for name in ("face.png", "v.mp4"):
            assert Path(other, name).read_bytes() == Path("here", name).read_bytes()


def test_a_missing_scheduler_is_an_error_of_one_line(photos, recognize):
    status, out, err = recognize("face.jpg", "--dask", "nowhere")
    assert (status, out) == (1, "")
    assert err == "error: --dask nowhere: expected an address, as tcp://HOST:PORT\n"


# ---------------------------------------------------------------- mistakes and interruptions


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--model", "absent.onnx"], "absent.onnx: there is no such model: expected fer2013, "),
        (["--model", "notes.txt"], "notes.txt: not an ONNX model, or a damaged one"),
        (["--annotate", "face.jpg"], "--annotate face.jpg: is the input itself"),
        (["--annotate", "out.gif"], "--annotate out.gif: expected a name that ends in .jpg"),
        (["grey.png", "--annotate", "notes.txt"], "--annotate notes.txt: is a file, but many"),
        (["--plot", "out.gif"], "--plot out.gif: expected a name that ends in .png, .svg, .pdf"),
        (["--csv", "notes.txt"], "notes.txt: exists and is no table of this program"),
        (["--csv", "notes.txt/out.csv"], "notes.txt/out.csv: cannot be written: "),
    ],
)
def test_a_mistake_is_an_error_of_one_line(photos, recognize, arguments, reason):
    status, out, err = recognize("face.jpg", *arguments)
    assert (status, out) == (1, "")
    assert err.startswith("error: ")
    assert reason in err
    assert len(err.splitlines()) == 1
    assert (photos / "notes.txt").read_text() == "no picture"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["a.jpg", "--every", "0"],
        ["a.jpg", "--every", "x"],
        ["a.jpg", "--min-confidence", "1.5"],
        ["a.jpg", "--smooth", "-1"],
        ["a.jpg", "--smooth", "nan"],
        ["a.jpg", "--workers", "2", "--dask", "tcp://localhost:8786"],
        ["a.jpg", "--faces", "other"],
    ],
)
def test_wrong_arguments_are_explained(monkeypatch, capsys, arguments):
    monkeypatch.setattr(sys, "argv", ["recognize-emotions", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert "recognize-emotions: error: " in capsys.readouterr().err


def test_missing_matplotlib_is_an_error_of_one_line(photos, recognize, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    status, out, err = recognize("face.jpg", "--plot", "out.png")
    assert (status, out) == (1, "")
    assert err == (
        "error: --plot needs the package matplotlib, which is not installed:"
        " pip install 'facial-expression-recognition[command]'\n"
    )


def test_control_c_prints_one_line(photos, model_path):
    process = start(photos, *["grey.png"] * 300, "--model", model_path, pipe_bytes=4096)
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    status, _, err = finished(process)
    assert (status, err) == (130, "interrupted\n")


def test_a_closed_output_ends_the_program_without_a_message(photos, model_path):
    process = start(photos, *["grey.png"] * 300, "--model", model_path)
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=120) == 1
    assert process.stderr.read() == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("option", [[], ["--json"]])
def test_a_full_disk_behind_stdout_is_an_error_of_one_line(photos, model_path, option):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "recognizer", "grey.png", "--model", model_path, *option],
            cwd=photos,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == ("error: standard output: cannot be written: No space left on device\n")


def test_a_name_that_cannot_be_printed_is_printed_escaped(photos, model_path):
    name = os.fsdecode(b"\xff\xe9.png")
    (photos / "grey.png").rename(photos / name)
    status, out, err = finished(start(photos, name, "--model", model_path))
    assert (status, err) == (0, "")
    assert out.splitlines()[1].endswith(r"\udcff\udce9.png")


def on_a_terminal(folder, *arguments):
    """Run the command with a terminal of 100 columns as stderr; return status and its output."""
    return run_on_a_terminal(
        lambda there: subprocess.Popen(
            [sys.executable, "-m", "recognizer", *map(str, arguments)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=there,
        )
    )


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_terminal_shows_progress(photos, model_path, workers):
    write_video(photos / "v.mp4", frames=10)
    options = ["--csv", "out.csv", "--model", model_path, "--workers", workers]
    status, shown = on_a_terminal(photos, ".", *options)
    assert status == 1
    assert "| 0/4 [" in shown
    # Files, elapsed and remaining time, rate and faces.
    line = r"100%\|█+\| 4/4 \[\d\d:\d\d<00:00, .*(?:file/s|s/file), (\d+) faces\]"
    *_, last = re.findall(line, shown)
    assert int(last) == sum(row["emotion"] != "" for row in rows(photos / "out.csv")) > 10
    assert "0/10 [" in shown
    assert "error: cut.png: the PNG image is damaged" in shown


def test_progress_includes_the_inputs_of_an_earlier_run(photos, recognize, model_path):
    for number in range(5):
        (photos / f"{number}.png").write_bytes((photos / "grey.png").read_bytes())
    recognize(*(f"{number}.png" for number in range(4)), "--csv", "out.csv")
    names = [f"{number}.png" for number in range(5)]
    status, shown = on_a_terminal(photos, *names, "--csv", "out.csv", "--model", model_path)
    assert status == 0
    # The last input of a run is always repeated.
    assert "| 3/5 [" in shown
    assert "| 5/5 [" in shown


def test_no_terminal_shows_no_progress(photos, recognize):
    assert recognize("face.jpg", "grey.png", "--csv", "out.csv") == (0, "", "")


def test_the_command_loads_only_what_serving_installs(photos):
    code = (
        "import sys, recognizer.__main__;"
        "print(sorted({name.partition('.')[0] for name in sys.modules}"
        " & {'matplotlib', 'distributed', 'dask', 'pandas', 'tensorflow', 'keras', 'dvc'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_the_console_script_is_this_program():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    script = EntryPoint("", project["scripts"]["recognize-emotions"], "console_scripts")
    assert script.load() is main


def test_the_version_names_the_package_and_the_model(tmp_path):
    number = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    model = hashlib.sha256(find_model("fer2013").read_bytes()).hexdigest()[:12]
    status, out, err = finished(start(tmp_path, "--version"))
    assert (status, err) == (0, "")
    assert out == f"recognize-emotions {number}, model fer2013 {model}\n"


@pytest.mark.parametrize("installed", [False, True])
def test_the_version_without_a_project_file_or_a_model(tmp_path, installed):
    # A copy of the folder without a project, as in a container, or an installed package.
    shutil.copytree(ROOT / "recognizer", tmp_path / "recognizer")
    if installed:
        metadata = tmp_path / "facial_expression_recognition-9.8.7.dist-info/METADATA"
        metadata.parent.mkdir()
        metadata.write_text(
            "Metadata-Version: 2.1\nName: facial-expression-recognition\nVersion: 9.8.7\n"
        )
    elif any(distributions(name="facial-expression-recognition")):
        pytest.skip("the package is installed here")
    done = subprocess.run(
        [sys.executable, "-m", "recognizer", "--version"],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == (
        f"recognize-emotions {'9.8.7' if installed else 'unknown'}, no default model:"
        f" fer2013: there is no such model: expected a model file\n"
    )
