import pytest

from benchmarks.rounds import Done, Way, take_turns


def _counting(number: int):
    def turn() -> Done:
        return Done(units=10, mark=str(number))

    return turn


def _failing(number: int):
    raise ValueError(f"process {number} cannot be prepared")


def test_every_process_of_every_way_takes_every_turn():
    ways = [
        Way(name="one", prepare=_counting),
        Way(name="two", prepare=_counting, processes=2, environment={"KD_TURN": "1"}),
    ]
    timed = take_turns(ways, rounds=3)
    assert {name: len(turns) for name, turns in timed.turns.items()} == {"one": 3, "two": 3}
    assert [turn.units for turn in timed.turns["two"]] == [20, 20, 20]
    assert timed.marks("two") == {"0", "1"}
    assert timed.ratio("one", "one") == 1


def test_a_way_that_fails_ends_the_benchmark_with_its_reason():
    with pytest.raises(RuntimeError, match=r"(?s)broken: .*process 0 cannot be prepared"):
        take_turns([Way(name="broken", prepare=_failing)], rounds=1)
