-- Functions that the views and your own queries may use; each one's words are its COMMENT.

-- Mean that is NULL as soon as one value is: no measure leaves out what is undefined in silence.
CREATE MACRO strict_mean(x) AS CASE WHEN count(*) = count(x) THEN avg(x) END;

-- Cells of an attention map (0..255) above a threshold tau in [0, 1]: BOOLEAN[], row by row.
CREATE MACRO mask_at(cells, tau) AS list_transform(cells, LAMBDA cell: cell > 255 * tau);

-- Overlap |A and B| / |A or B| of two masks made by mask_at. NULL when neither has a cell, or a
-- mask is NULL.
CREATE MACRO attention_iou_of(mask_a, mask_b) AS
CASE
    WHEN mask_a IS NOT NULL AND mask_b IS NOT NULL
        THEN
            list_sum(list_transform(
                list_zip(mask_a, mask_b),
                LAMBDA pair: CASE WHEN pair[1] AND pair[2] THEN 1 ELSE 0 END
            ))
            / nullif(
                list_sum(list_transform(
                    list_zip(mask_a, mask_b),
                    LAMBDA pair: CASE WHEN pair[1] OR pair[2] THEN 1 ELSE 0 END
                )),
                0
            )
END;

-- Energy in kWh of a time in seconds at a mean draw in watts, which you have to know: no power was
-- measured, so the result is as good as that figure. NULL where either is.
CREATE MACRO energy_kwh(seconds, watts) AS seconds * watts / 3600000;
