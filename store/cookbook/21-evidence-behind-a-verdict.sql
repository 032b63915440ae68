-- Question: Which tests stand behind the verdict on H1?
-- Returns: One row per test of the deciding finding: the primary one first, with its estimate,
-- interval and p-value.
-- Change: 'H1' to another claim.
SELECT
    evidence.rank,
    evidence.method,
    evidence.value_name,
    evidence.estimate,
    evidence.interval_low,
    evidence.interval_high,
    evidence.p_value,
    evidence.n,
    finding.verdict
FROM finding
INNER JOIN evidence
    ON
        finding.hypothesis = evidence.hypothesis
        AND finding.arm = evidence.arm
        AND finding.form = evidence.form
        AND finding.outcome = evidence.outcome
        AND finding.predictor = evidence.predictor
WHERE finding.deciding AND finding.hypothesis = 'H1'
ORDER BY
    evidence.rank = 'primary' DESC, evidence.rank ASC, evidence.test ASC, evidence.value_name ASC;
