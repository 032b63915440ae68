"""Whether strength acts through attention, in whole analyses whose truth is planted."""

import pytest
from simulated import AS_CLAIMED, CLAIMS, COMMON_CAUSE, find, simulate, study

from analyze.assemble import assemble
from analyze.results import Results


@pytest.fixture(scope="module")
def claimed() -> Results:
    design = study()
    return assemble(design, simulate(design, AS_CLAIMED))


def test_mediation_holds_where_both_of_its_claims_do(claimed):
    deciding = [each for each in claimed.mediation if each.deciding]
    assert [(each.arm, each.form, each.holds) for each in deciding] == [("fixed", "plain", True)]
    tests = {each.test: each for each in deciding[0].evidence}
    assert tests["mediation_acme"].estimate < 0
    assert tests["mediation_joint"].p_value < 0.01
    assert tests["mediation_a"].outcome == "attention_iou_adjusted"
    assert tests["mediation_a"].estimate == pytest.approx(
        find(claimed, "H1").outcomes[0].estimate, rel=0.05
    )
    assert {each.hypothesis for each in deciding[0].evidence} == {"M"}


def test_mediation_is_not_shown_where_one_claim_is_not():
    design = study()
    results = assemble(design, simulate(design, COMMON_CAUSE))
    deciding = next(each for each in results.mediation if each.deciding)
    assert deciding.holds is False
    assert deciding.sentence.startswith("Not shown")


def test_a_study_without_both_claims_has_no_mediation():
    design = study(claims={"H1": CLAIMS["H1"]})
    assert assemble(design, simulate(design, AS_CLAIMED)).mediation == ()
