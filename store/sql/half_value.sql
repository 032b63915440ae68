-- Number whose IEEE 754 half-precision bits are given (0..65535): FLOAT, exactly, for numbers
-- normal and subnormal, both zeros, infinities and NaN. A half is (-1)^sign * significand *
-- 2^(exponent - 25), the significand with its leading bit unless the exponent is 0, which then
-- counts as 1; 33554432 is 2^25.
CREATE MACRO half_value(half) AS -- noqa: disable=CP05
-- (the linter takes the parameter for a type)
CASE
    WHEN half & 31744 = 31744
        THEN CASE
            WHEN half & 1023 > 0 THEN 'nan'::FLOAT
            WHEN half > 32767 THEN '-inf'::FLOAT
            ELSE 'inf'::FLOAT
        END
    ELSE (
        (
            ((half & 1023) + 1024 * (half & 31744 > 0)::INTEGER)::BIGINT
            << (((half >> 10) & 31) + (half & 31744 = 0)::INTEGER)
        )::DOUBLE
        / 33554432::DOUBLE
        * (1 - 2 * (half >> 15)::DOUBLE)
    )::FLOAT
END;
