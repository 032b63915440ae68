"""What the ledger notes of the environment that a block was trained in."""

import pytest
from synthetic import environment

from store.ledger import ENVIRONMENT, environment_hash, environment_id, environment_row
from store.shard import Environment


def test_a_shard_that_does_not_note_compilation_and_allocator_is_read_and_keeps_its_id():
    noted = environment(0)
    older = noted.model_dump(exclude={"compiled", "allocator"})
    assert Environment.model_validate(older) == noted
    assert environment_id(noted) == environment_hash(
        {name: value for name, value in older.items() if name in ENVIRONMENT.schema}
    )


@pytest.mark.parametrize("change", [{"compiled": True}, {"allocator": "glibc tuned"}])
def test_a_compiled_network_and_another_allocator_are_other_environments(change: dict[str, object]):
    one = environment(0)
    other = one.model_copy(update=change)
    assert environment_id(one) != environment_id(other)
    row = environment_row(other).row(0, named=True)
    assert row.items() >= change.items()
