import io

import pytest

from collect.progress import Progress


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class _Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_line_counts_models_of_all_processes_and_tells_what_is_left(tmp_path):
    clock = _Clock()
    streams = [io.StringIO(), io.StringIO()]
    jobs = [
        Progress(tmp_path / "progress", 20, pack=pack, stream=stream, clock=clock)
        for pack, stream in enumerate(streams)
    ]
    for model in range(5):
        for key, job in zip("ab", jobs, strict=True):
            clock.now += 1
            job.finished(key, model)
    # ten models, nine intervals of one second
    assert jobs[0].line() == "training: 10/20 models, 60 per minute, 10 s left"


def test_a_model_found_trained_again_is_counted_once(tmp_path):
    job = Progress(tmp_path / "progress", 4, pack=0, stream=io.StringIO(), clock=_Clock())
    for _ in range(3):
        job.finished("a", 0)
    assert job.line() == "training: 1/4 models"


def test_a_terminal_gets_one_line_that_is_redrawn(tmp_path):
    stream = _Terminal()
    job = Progress(tmp_path / "progress", 2, pack=0, stream=stream, clock=_Clock())
    job.finished("a", 0)
    job.finished("a", 1)
    assert stream.getvalue() == ("\r\x1b[Ktraining: 1/2 models\r\x1b[Ktraining: 2/2 models\n")


def test_a_file_gets_a_line_now_and_then(tmp_path):
    clock = _Clock()
    stream = io.StringIO()
    job = Progress(tmp_path / "progress", 100, pack=0, stream=stream, clock=clock)
    for model in range(50):
        clock.now += 1
        job.finished("a", model)
    assert 4 <= stream.getvalue().count("\n") <= 6


@pytest.mark.parametrize("torn", ["a 1", "a 1 10", "a 1 1000.0 a 2 10", "a 1 10x0\n", "\0\0\0\n"])
def test_a_line_that_was_torn_is_passed_over(tmp_path, torn):
    folder = tmp_path / "progress"
    folder.mkdir()
    (folder / "00000.elsewhere.7").write_text(f"a 0 1000.0\n{torn}", encoding="utf-8")
    job = Progress(folder, 3, pack=0, stream=io.StringIO(), clock=_Clock())
    assert job.line() == "training: 1/3 models"


def test_a_line_that_is_being_written_counts_once_it_is_whole(tmp_path):
    folder = tmp_path / "progress"
    folder.mkdir()
    file = folder / "00000.elsewhere.7"
    file.write_text("a 0 1000.0\na 1 ", encoding="utf-8")
    job = Progress(folder, 3, pack=1, stream=io.StringIO(), clock=_Clock())
    assert job.line() == "training: 1/3 models"
    with file.open("a") as stream:
        stream.write("1000.0\na 2 1")
    assert job.line() == "training: 2/3 models"


def test_a_finished_pack_leaves_one_file_and_loses_no_time(tmp_path):
    folder, clock = tmp_path / "progress", _Clock()
    folder.mkdir()
    # a process that was killed, and models of a study that was declared otherwise
    (folder / "00000.elsewhere.7").write_text("a 0 900.000\nformer 0 800.000\n")
    watching = Progress(folder, 3, pack=1, stream=io.StringIO(), clock=clock)
    job = Progress(folder, 3, pack=0, stream=io.StringIO(), clock=clock)
    job.finished("a", 0)
    assert watching.line().startswith("training: 2/3")
    job.finished("a", 1)
    job.close({"a"})
    assert [path.name for path in folder.iterdir()] == ["00000"]
    assert (folder / "00000").read_text() == "a 0 900.000\na 1 1000.000\n"
    assert watching.line() == "training: 3/3 models"
    # the pack has grown by a block
    grown = Progress(folder, 4, pack=0, stream=io.StringIO(), clock=clock)
    grown.finished("b", 0)
    grown.close({"a", "b"})
    assert watching._finished.first() == {"a 0": 900, "a 1": 1000, "b 0": 1000, "former 0": 800}


def test_the_file_of_an_older_release_counts_on(tmp_path):
    (tmp_path / "progress").write_text("a 0 1000.0\n", encoding="utf-8")
    job = Progress(tmp_path / "progress", 3, pack=0, stream=io.StringIO(), clock=_Clock())
    job.finished("a", 1)
    assert job.line() == "training: 2/3 models"
    assert not (tmp_path / "progress-before").exists()
