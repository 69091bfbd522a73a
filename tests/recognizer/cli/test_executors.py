"""Executors: the same results in the same order, bounded memory, lost workers replaced."""

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections import defaultdict
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import sleep

import cv2
import dask
import numpy as np
import pytest
from distributed import LocalCluster

from recognizer.cli import executors
from recognizer.cli.executors import (
    CHUNK,
    CHUNKS_AHEAD,
    BoundedExecutor,
    dask_cluster,
    local_processes,
)
from recognizer.cli.inputs import Input, find_inputs
from recognizer.cli.job import FrameResult, Job, load, recognize_photos
from recognizer.cli.run import Run
from recognizer.errors import ModelError, WorkersError
from tests.model_fixture import LABELS
from tests.recognizer.video_fixture import write_video

PHOTOS = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Small photos, one of them broken, and a video between them."""
    folder = tmp_path_factory.mktemp("inputs")
    rng = np.random.default_rng(0)
    for number in range(PHOTOS):
        pixels = rng.integers(0, 256, (48, 48), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{number:02}.png"), pixels)
    (folder / "13.png").write_bytes(b"broken")
    write_video(folder / "30.mp4", frames=20)
    return folder


@pytest.fixture(scope="module")
def job(model_path):
    return Job(
        folder=Path.cwd(),
        model=model_path,
        detector="whole",
        align=True,
        min_confidence=0.0,
    )


def results(job, executor, inputs):
    return Run(job, executor, LABELS, every=3, time_constant=0.5).results(inputs)


@pytest.fixture(scope="module")
def expected(job, folder):
    found = list(results(job, BoundedExecutor(None), find_inputs([str(folder)])))
    assert len(found) == PHOTOS + 7
    assert [result.path.name for result in found if result.error] == ["13.png"]
    return found


@pytest.fixture(scope="module")
def processes():
    with local_processes(2) as executor:
        yield executor


def test_local_processes_give_the_same_results_in_the_same_order(job, folder, expected, processes):
    assert list(results(job, processes, find_inputs([str(folder)]))) == expected


# ---------------------------------------------------------------- memory


@pytest.mark.parametrize(
    ("executor", "held"), [("here", 1), ("processes", 2 * CHUNKS_AHEAD * CHUNK)]
)
def test_inputs_are_taken_only_as_results_are_consumed(job, executor, held, request):
    executor = BoundedExecutor(None) if executor == "here" else request.getfixturevalue(executor)
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield Input(Path(f"{taken}.jpg"), "missing")

    for count, result in enumerate(results(job, executor, endless()), start=1):
        assert result.path.name == f"{count}.jpg"
        # One more input was taken, to check whether a video follows.
        assert taken <= count + held + 1
        if count == 500:
            return


def test_results_and_frames_are_freed(job, tmp_path):
    video = write_video(tmp_path / "a.mp4", frames=40)
    alive, most = 0, 0

    def dies():
        nonlocal alive
        alive -= 1

    for result in results(job, BoundedExecutor(None), [Input(video)] * 3):
        alive += 1
        weakref.finalize(result, dies)
        most = max(most, alive)
    del result
    gc.collect()
    assert most <= 2
    assert alive == 0


# ---------------------------------------------------------------- loading


def loaded(job, items):
    """For each item, the process that gets it and the recognizer of that process."""
    return [(os.getpid(), id(load(job))) for _ in items]


def test_each_process_loads_the_model_once(job, processes):
    seen = defaultdict(set)
    for process, recognizer in processes.map(partial(loaded, job), range(20 * CHUNK)):
        seen[process].add(recognizer)
    assert os.getpid() not in seen
    assert 1 <= len(seen) <= 2
    assert {len(recognizers) for recognizers in seen.values()} == {1}


def test_threads_share_one_model(job):
    job, found, barrier = replace(job, min_confidence=0.125), [], threading.Barrier(8)

    def find():
        barrier.wait()
        found.append(load(job))

    threads = [threading.Thread(target=find) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1


def test_another_model_in_a_worker_is_an_error(job, folder, processes):
    other = replace(job, version="cd" * 32)
    with pytest.raises(ModelError, match=r"in a worker's file system, but cdcdcdcdcdcd here"):
        list(results(other, processes, find_inputs([str(folder)])))


# ---------------------------------------------------------------- lost workers


def die(items):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_local_process_is_an_error_of_one_sentence():
    with (
        pytest.raises(WorkersError, match="a worker process was killed"),
        local_processes(2) as executor,
    ):
        list(executor.map(die, range(10)))


@pytest.fixture(scope="module")
def cluster():
    settings = {"distributed.scheduler.allowed-failures": 1}
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
    ):
        yield cluster


def reader(path: Path, cluster: LocalCluster, besides: int | None = None) -> int:
    """Wait until a worker has a file open; return its process."""
    while True:
        for process in {nanny.pid for nanny in cluster.workers.values()} - {besides}:
            # A process may have ended, or closed another file in the meantime.
            with suppress(OSError):
                if path in [entry.readlink() for entry in Path(f"/proc/{process}/fd").iterdir()]:
                    return process
        sleep(0.01)


def recognize_when_released(job, pipe, held, photos):
    """As `recognize_photos`; in the middle of the chunk with `held`, wait for the pipe's end."""
    place = photos.index(held) if held in photos else 0
    found = recognize_photos(job, None, None, photos[:place])
    if held in photos:
        pipe.read_bytes()
    return found + recognize_photos(job, None, None, photos[place:])


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_a_killed_dask_worker_loses_and_repeats_no_result(job, folder, expected, cluster, tmp_path):
    alone = [result for result in expected if not isinstance(result, FrameResult)]
    photos = [Input(result.path) for result in alone]
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    killed = []

    def kill_then_release():
        with pipe.open("wb"):
            killed.append(reader(pipe, cluster))
            os.kill(killed[0], signal.SIGKILL)
            reader(pipe, cluster, besides=killed[0])

    killer = threading.Thread(target=kill_then_release, daemon=True)
    killer.start()
    with dask_cluster(cluster.scheduler_address) as executor:
        held = partial(recognize_when_released, job, pipe, photos[PHOTOS // 2])
        found = list(executor.map(held, photos))
    killer.join()
    assert len(killed) == 1
    assert found == alone


def test_dask_gives_the_same_results_in_the_same_order(job, folder, expected, cluster):
    with dask_cluster(cluster.scheduler_address) as executor:
        assert list(results(job, executor, find_inputs([str(folder)]))) == expected


def test_chunks_that_kill_every_dask_worker_are_an_error_of_one_sentence(cluster):
    with (
        pytest.raises(WorkersError, match="the same inputs were lost with several workers"),
        dask_cluster(cluster.scheduler_address) as executor,
    ):
        list(executor.map(die, range(1)))


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("tcp://127.0.0.1:1", "no Dask scheduler answers there"),
        ("nonsense", "expected an address, as tcp://HOST:PORT"),
    ],
)
def test_a_missing_scheduler_is_an_error_of_one_sentence(monkeypatch, address, reason):
    monkeypatch.setattr(executors, "CONNECT_SECONDS", 0.5)
    with pytest.raises(WorkersError, match=f"^--dask {address}: {reason}$"), dask_cluster(address):
        pass


def test_a_cluster_without_this_project_is_an_error_of_one_sentence(tmp_path):
    file = tmp_path / "scheduler.json"
    options = ["--no-dashboard", "--port", "0", "--scheduler-file", str(file)]
    scheduler = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_scheduler", *options],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        stderr=subprocess.DEVNULL,
    )
    try:
        while not file.exists() or not file.read_text().endswith("}"):
            assert scheduler.poll() is None
            sleep(0.05)
        address = json.loads(file.read_text())["address"]
        with pytest.raises(WorkersError, match="cannot import `recognizer`"), dask_cluster(address):
            pass
    finally:
        scheduler.kill()
        scheduler.wait()


def test_missing_dask_is_an_error_of_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(WorkersError, match=r"--dask needs the package distributed, which is not"),
        dask_cluster("a"),
    ):
        pass
