from benchmarks.working_copy import working_copy


def test_what_is_written_in_the_copy_does_not_change_the_repository(tmp_path):
    files = ("params.yaml", "stages/train.py", "data/tiny/raw.csv", "data/photos/a.jpg")
    for name in (*files, "models/tiny/model.keras", "models/tiny/.resume.npz"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("old")
    (tmp_path / ".git").mkdir()
    with working_copy("tiny", tmp_path) as folder:
        assert all((folder / name).read_text() == "old" for name in files)
        (folder / "data/tiny/raw.csv").write_text("new")
        (folder / "models/tiny/model.keras").unlink()
        (folder / "models/tiny/new.csv").touch()
        assert not (folder / "models/tiny/.resume.npz").exists()
        assert not (folder / ".git").exists()
    assert not folder.exists()
    assert (tmp_path / "data/tiny/raw.csv").read_text() == "old"
    assert (tmp_path / "data/photos/a.jpg").exists()
    assert sorted(path.name for path in (tmp_path / "models/tiny").iterdir()) == [
        ".resume.npz",
        "model.keras",
    ]
