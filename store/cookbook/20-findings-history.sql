-- Question: What did earlier analyses find, as the study grew?
-- Returns: One row per analysis and claim, of the finding that decides: how many seeds the store
-- held, the verdict, and the verdict before it. analysed_at is NULL where it was not kept; such
-- an analysis is an early one.
SELECT
    analysed_at,
    seeds,
    hypothesis,
    outcome,
    estimate,
    p_holm,
    verdict,
    lag(verdict) OVER (
        PARTITION BY hypothesis, arm, form, outcome, predictor
        ORDER BY analysed_at NULLS FIRST, analysis
    ) AS verdict_before
FROM finding_history
WHERE deciding
ORDER BY hypothesis, outcome, analysed_at NULLS FIRST, analysis;
