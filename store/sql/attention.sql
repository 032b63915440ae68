-- One model's attention map on one view of one test image, with its mask.
-- Grain: (model_id, view, image_id, method). Cells of a map in 0..255, row by row.
-- map, its mask's words and mask_cells are NULL when the map is undefined: constant or not finite.
CREATE VIEW attention AS
SELECT
    model_id,
    view,
    image_id,
    method,
    unpacked_bytes(map_words, map_cells) AS map, -- noqa: RF04
    mask_0,
    mask_1,
    mask_2,
    mask_3,
    mask_cells
FROM stored_attention;
