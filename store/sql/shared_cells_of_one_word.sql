-- Cells that two attention masks both have, from their words mask_0 to mask_3. NULL when a map is
-- undefined. Where all masks of a study fit into the first word, its store reads that alone.
CREATE MACRO shared_cells(a_0, a_1, a_2, a_3, b_0, b_1, b_2, b_3) AS -- noqa: disable=CP05
-- (the linter takes parameters for types)
bit_count(a_0 & b_0)::INTEGER;
