-- Numbers that the store keeps several to a word of 64 bits, as lists; store/words.py packs them.

-- The halves in words that hold four each: USMALLINT[], the first so many. Halves i, i + w, i + 2 w
-- and i + 3 w of w words are in word i, the first in its lowest bits.
CREATE MACRO unpacked_halves(words, halves) AS -- noqa: disable=CP05
-- (the linter takes parameters for types)
CASE
    WHEN words IS NOT NULL
        THEN
            flatten([
                list_transform(words, LAMBDA word: (word & 65535)::USMALLINT),
                list_transform(words, LAMBDA word: ((word >> 16) & 65535)::USMALLINT),
                list_transform(words, LAMBDA word: ((word >> 32) & 65535)::USMALLINT),
                list_transform(words, LAMBDA word: (word >> 48)::USMALLINT)
            ])[1:halves]
END;

-- The bytes in words that hold eight each: UTINYINT[], the first so many. Byte i + k w of w words
-- is in word i, at bit 8 k.
CREATE MACRO unpacked_bytes(words, bytes) AS
CASE
    WHEN words IS NOT NULL
        THEN
            flatten([
                list_transform(words, LAMBDA word: (word & 255)::UTINYINT),
                list_transform(words, LAMBDA word: ((word >> 8) & 255)::UTINYINT),
                list_transform(words, LAMBDA word: ((word >> 16) & 255)::UTINYINT),
                list_transform(words, LAMBDA word: ((word >> 24) & 255)::UTINYINT),
                list_transform(words, LAMBDA word: ((word >> 32) & 255)::UTINYINT),
                list_transform(words, LAMBDA word: ((word >> 40) & 255)::UTINYINT),
                list_transform(words, LAMBDA word: ((word >> 48) & 255)::UTINYINT),
                list_transform(words, LAMBDA word: (word >> 56)::UTINYINT)
            ])[1:bytes]
END;
