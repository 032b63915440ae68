-- Question: On which of an analyst's choices does a finding hang?
-- Returns: One row per claim, choice and option: of the counted specifications that take it, how
-- many there are, in how many the effect has the claimed direction, in how many it has it at
-- p < .05, and the median effect in standard deviations of a seed, positive as claimed.
WITH taken AS (
    SELECT
        hypothesis,
        arm,
        standardized,
        p_value,
        unnest(choices) AS choice,
        unnest(options) AS chosen
    FROM specification
    WHERE standing = 'counted' AND standardized IS NOT NULL
)

SELECT
    hypothesis,
    arm,
    choice,
    chosen,
    count(*) AS specifications,
    count(*) FILTER (standardized > 0) AS claimed,
    count(*) FILTER (standardized > 0 AND p_value < .05) AS significant,
    median(standardized) AS median_effect
FROM taken
GROUP BY ALL
ORDER BY ALL;
