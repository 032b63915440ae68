-- Question: How long did each condition train, and what energy is that at a given power?
-- Returns: One row per condition: wall time in hours of its students and of their teachers, and kWh
-- at a mean draw of 65 W, a figure to be replaced by yours: no power was measured. Conditions of
-- one composition share their teachers, whose time is not to be added.
-- Change: 65 to the mean draw of your machine in watts.
SELECT
    condition_id,
    arm,
    teacher_strength,
    teacher_strengths,
    student_seconds / 3600 AS student_hours,
    teacher_seconds / 3600 AS teacher_hours,
    energy_kwh(student_seconds, 65) AS student_kwh,
    energy_kwh(teacher_seconds, 65) AS teacher_kwh
FROM training_time
ORDER BY condition_id;
