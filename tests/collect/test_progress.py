import io

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
    jobs = [Progress(tmp_path / "progress", 20, stream=stream, clock=clock) for stream in streams]
    for model in range(5):
        for key, job in zip("ab", jobs, strict=True):
            clock.now += 1
            job.finished(key, model)
    # ten models, nine intervals of one second
    assert jobs[0].line() == "training: 10/20 models, 60 per minute, 10 s left"


def test_a_model_found_trained_again_is_counted_once(tmp_path):
    job = Progress(tmp_path / "progress", 4, stream=io.StringIO(), clock=_Clock())
    for _ in range(3):
        job.finished("a", 0)
    assert job.line() == "training: 1/4 models"


def test_a_terminal_gets_one_line_that_is_redrawn(tmp_path):
    stream = _Terminal()
    job = Progress(tmp_path / "progress", 2, stream=stream, clock=_Clock())
    job.finished("a", 0)
    job.finished("a", 1)
    assert stream.getvalue() == ("\r\x1b[Ktraining: 1/2 models\r\x1b[Ktraining: 2/2 models\n")


def test_a_file_gets_a_line_now_and_then(tmp_path):
    clock = _Clock()
    stream = io.StringIO()
    job = Progress(tmp_path / "progress", 100, stream=stream, clock=clock)
    for model in range(50):
        clock.now += 1
        job.finished("a", model)
    assert 4 <= stream.getvalue().count("\n") <= 6


def test_a_line_cut_short_by_a_kill_is_passed_over(tmp_path):
    (tmp_path / "progress").write_text("a 0 1000.0\na 1", encoding="utf-8")
    job = Progress(tmp_path / "progress", 3, stream=io.StringIO(), clock=_Clock())
    assert job.line() == "training: 1/3 models"
