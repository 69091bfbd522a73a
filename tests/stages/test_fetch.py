"""The fetch stage: what it writes, and that it writes everything or nothing."""

import lzma
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stages import fetch
from stages.dataset.fer_csv import HEADER
from stages.errors import UserError
from stages.parameters import FileSource, FolderSource, Rows, load_parameters

ROOT = Path(__file__).parents[2]
FER2013 = ROOT.parent / "shared" / "data" / "fer2013.csv.xz"
ROWS = {"Training": 4, "PublicTest": 2, "PrivateTest": 1}


def csv_of(rows: dict[str, int]) -> bytes:
    pixels = " ".join(["7"] * 2304)
    lines = [f"0,{pixels},{split}" for split, count in rows.items() for _ in range(count)]
    return "\n".join([HEADER, *lines, ""]).encode()


def write_parameters(dataset: str, recipe: str, file: dict) -> None:
    """The parameter file of a dataset that is read from a CSV file, otherwise as another one."""
    document = yaml.safe_load((ROOT / f"params/{recipe}.yaml").read_text())
    document["fetch"] = {"source": "file", "file": file}
    Path(f"params/{dataset}.yaml").write_text(yaml.safe_dump(document))


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """An empty folder to run in, with the project's parameter files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FER2013_CSV", raising=False)
    shutil.copytree(ROOT / "params", tmp_path / "params")
    write_parameters("mine", "sample", {"path": "given.csv", "sha256": None, "rows": ROWS})
    for dataset in ("fer2013", "fer2013-small"):
        path = Path(f"params/{dataset}.yaml")
        document = yaml.safe_load(path.read_text())
        document["fetch"]["kaggle"]["rows"] = ROWS
        path.write_text(yaml.safe_dump(document))
    (tmp_path / "given.csv").write_bytes(csv_of(ROWS))
    return tmp_path


def run(dataset: str) -> bytes:
    fetch.main(dataset, load_parameters(dataset))
    return Path("data", dataset, "raw.csv").read_bytes()


def source(path: Path, rows: dict | None = None) -> FileSource:
    return FileSource(source="file", path=path, sha256=None, rows=rows)


def test_raw_csv_has_the_rows_of_the_source(repository, caplog):
    caplog.set_level("INFO")
    assert run("mine") == csv_of(ROWS)
    assert "wrote data/mine/raw.csv: Training 4, PublicTest 2, PrivateTest 1" in caplog.text
    assert str(repository / "given.csv") in caplog.text


def test_raw_csv_is_as_readable_as_any_file(repository):
    run("mine")
    umask = os.umask(0)
    os.umask(umask)
    assert Path("data/mine/raw.csv").stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_other_row_counts_than_declared_write_nothing(repository, line_end):
    short = csv_of(ROWS | {"Training": 3})
    (repository / "given.csv").write_bytes(short.replace(b"\n", line_end))
    with pytest.raises(UserError, match=r"expected Training 4, .*; the source has Training 3, "):
        run("mine")
    assert not list(Path("data/mine").iterdir())


def test_a_failed_run_keeps_the_former_result(repository):
    former = run("mine")
    (repository / "given.csv").write_bytes(csv_of(ROWS)[:-1000])
    with pytest.raises(UserError, match="the source has Training 4, PublicTest 2, PrivateTest 0"):
        run("mine")
    assert [path.name for path in Path("data/mine").iterdir()] == ["raw.csv"]
    assert Path("data/mine/raw.csv").read_bytes() == former


def test_another_header_writes_nothing(repository):
    former = run("mine")
    given = repository / "given.csv"
    given.write_bytes(csv_of(ROWS).replace(b",", b";"))
    with pytest.raises(UserError) as raised:
        run("mine")
    assert str(raised.value).startswith(f"{given}, line 1: no column 'emotion'; expected emotion,")
    assert str(raised.value).endswith("; separate the columns by commas, not by semicolons")
    assert Path("data/mine/raw.csv").read_bytes() == former


def test_invalid_rows_are_left_to_validate(repository):
    defective = b"\nword\n7,1 2 3,Training\n0,%b,Elsewhere\n" % (b"1 " * 2304)
    rows = ROWS | {"Training": ROWS["Training"] - 1}
    (repository / "given.csv").write_bytes(csv_of(rows) + defective)
    assert run("mine") == csv_of(rows) + defective


@given(
    st.lists(st.sampled_from(["Training", "PublicTest", "PrivateTest"]), max_size=20),
    st.binary(max_size=20),
    st.sampled_from(["", " ", '"']),
)
def test_rows_are_counted_by_their_last_field(splits, junk, around):
    lines = [HEADER.encode(), *(f"0,1 2,{around}{split}{around}".encode() for split in splits)]
    rows = Counter()
    assert list(fetch.counted([*lines, b"0," + junk + b",x"], rows))[:-1] == lines
    assert rows == Counter(splits) + Counter(other=1)


def test_undeclared_rows_are_not_compared(repository):
    fetch.fetch(source(repository / "given.csv"), repository / "raw.csv")
    assert (repository / "raw.csv").read_bytes() == csv_of(ROWS)


def test_folder_source_with_declared_rows(repository):
    import cv2

    for place in ("train/happy/a.jpg", "val/sad/b.jpg", "test/fear/c.png"):
        path = repository / "faces" / place
        path.parent.mkdir(parents=True)
        cv2.imwrite(str(path), np.full((60, 50), 99, np.uint8))
    (repository / "faces/train/happy/d.png").write_bytes(b"no image")
    rows = Rows(Training=2, PublicTest=1, PrivateTest=1)
    emotions = ["happy", "sad", "fear"]
    images = FolderSource(source="folder", path="faces", rows=rows, emotions=emotions)
    fetch.fetch(images, repository / "raw.csv")
    lines = (repository / "raw.csv").read_text().splitlines()
    assert lines[2] == "happy,unreadable train/happy/d.png,Training"
    assert len(lines) == 5


# ---------------------------------------------------------------- FER2013_CSV


def test_fer2013_csv_replaces_the_declared_source(repository, monkeypatch, caplog):
    caplog.set_level("INFO")
    (repository / "mirror").mkdir()
    packed = repository / "mirror" / "fer2013.csv.xz"
    packed.write_bytes(lzma.compress(csv_of(ROWS)))
    for path in (
        packed,
        packed.relative_to(repository),
        f"../{repository.name}/mirror/{packed.name}",
    ):
        monkeypatch.setenv("FER2013_CSV", str(path))
        assert run("fer2013") == csv_of(ROWS)
    assert "FER2013_CSV replaces the source 'kaggle'" in caplog.text
    assert str(packed) in caplog.text


def test_fer2013_csv_replaces_the_source_of_datasets_named_after_fer2013(repository, monkeypatch):
    Path("mine.csv").write_bytes(csv_of(ROWS))
    monkeypatch.setenv("FER2013_CSV", "mine.csv")
    assert run("fer2013-small") == csv_of(ROWS)


def test_fer2013_csv_must_have_the_declared_rows(repository, monkeypatch):
    Path("few.csv").write_bytes(csv_of({"Training": 1}))
    monkeypatch.setenv("FER2013_CSV", "few.csv")
    with pytest.raises(UserError, match="the source has Training 1, PublicTest 0, PrivateTest 0"):
        run("fer2013")


def test_fer2013_csv_that_is_missing_is_an_error(repository, monkeypatch):
    monkeypatch.setenv("FER2013_CSV", "absent.csv.xz")
    with pytest.raises(UserError, match=r"absent\.csv\.xz: no such file"):
        run("fer2013")


def test_fer2013_csv_does_not_replace_other_sources(repository, monkeypatch):
    monkeypatch.setenv("FER2013_CSV", "absent.csv.xz")
    assert run("mine") == csv_of(ROWS)


# ---------------------------------------------------------------- killed


def start(repository: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "stages.fetch", "mine"],
        cwd=repository,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )


def test_kill_9_leaves_no_half_file_and_the_next_run_cleans_up(repository):
    # Random digits compress badly: decompressing them takes long enough for a kill.
    rng = np.random.default_rng(0)
    pixels = [" ".join(map(str, rng.integers(0, 256, 2304))) for _ in range(100)]
    lines = [f"0,{pixels[row % 100]},Training" for row in range(1500)]
    plain = "\n".join([HEADER, *lines, ""]).encode()
    (repository / "given.csv").write_bytes(lzma.compress(plain, preset=0))
    write_parameters("mine", "sample", {"path": "given.csv", "sha256": None, "rows": None})
    folder = repository / "data" / "mine"

    process = start(repository)
    while process.poll() is None:
        if any(path.stat().st_size for path in folder.glob(".*.csv")):
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.001)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "the run ended before it could be killed"
    (abandoned,) = folder.iterdir()
    assert abandoned.name.startswith(".")
    assert 0 < abandoned.stat().st_size < len(plain)

    process = start(repository)
    _, log = process.communicate()
    assert process.returncode == 0, log
    assert f"data/mine/{abandoned.name}, left by an interrupted run" in log
    assert [path.name for path in folder.iterdir()] == ["raw.csv"]
    assert (folder / "raw.csv").read_bytes() == plain


# ---------------------------------------------------------------- the real one


@pytest.mark.skipif(not FER2013.exists(), reason="FER-2013 lies only on the developers' machine")
def test_fer_2013_has_the_declared_rows(tmp_path, monkeypatch):
    parameters = load_parameters("fer2013", ROOT / "params")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FER2013_CSV", str(FER2013))
    fetch.main("fer2013", parameters)
    assert Path("data/fer2013/raw.csv").stat().st_size == 301_071_343
