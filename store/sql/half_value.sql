-- Number whose IEEE 754 half-precision bits are given (0..65535): FLOAT, exactly, for numbers
-- normal and subnormal, both zeros, infinities and NaN. A half is (-1)^sign * significand *
-- 2^(exponent - 25), the significand with its leading bit unless the exponent is 0, which then
-- counts as 1. The list has what multiplies the significand, by sign and exponent: their six bits.
CREATE MACRO half_value(half) AS -- noqa: disable=CP05
-- (the linter takes the parameter for a type)
CASE
    WHEN half & 31744 = 31744
        THEN CASE
            WHEN half & 1023 > 0 THEN 'nan'::FLOAT
            WHEN half > 32767 THEN '-inf'::FLOAT
            ELSE 'inf'::FLOAT
        END
    ELSE
        ((half & 1023) + CASE WHEN half & 31744 > 0 THEN 1024 ELSE 0 END)::FLOAT
        * ([
            5.960464477539063e-08, 5.960464477539063e-08,
            1.1920928955078125e-07, 2.384185791015625e-07,
            4.76837158203125e-07, 9.5367431640625e-07,
            1.9073486328125e-06, 3.814697265625e-06,
            7.62939453125e-06, 1.52587890625e-05,
            3.0517578125e-05, 6.103515625e-05,
            0.0001220703125, 0.000244140625,
            0.00048828125, 0.0009765625,
            0.001953125, 0.00390625,
            0.0078125, 0.015625,
            0.03125, 0.0625,
            0.125, 0.25,
            0.5, 1.0,
            2.0, 4.0,
            8.0, 16.0,
            32.0, 64.0,
            -5.960464477539063e-08, -5.960464477539063e-08,
            -1.1920928955078125e-07, -2.384185791015625e-07,
            -4.76837158203125e-07, -9.5367431640625e-07,
            -1.9073486328125e-06, -3.814697265625e-06,
            -7.62939453125e-06, -1.52587890625e-05,
            -3.0517578125e-05, -6.103515625e-05,
            -0.0001220703125, -0.000244140625,
            -0.00048828125, -0.0009765625,
            -0.001953125, -0.00390625,
            -0.0078125, -0.015625,
            -0.03125, -0.0625,
            -0.125, -0.25,
            -0.5, -1.0,
            -2.0, -4.0,
            -8.0, -16.0,
            -32.0, -64.0
        ]::FLOAT[])[(half >> 10) + 1]
END;
