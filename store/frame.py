"""What a table is: its columns with their meanings, and the key that tells its rows apart."""

from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column. ``null`` says what NULL means; None means never NULL."""

    name: str
    dtype: pl.DataType
    meaning: str
    unit: str | None = None
    null: str | None = None
    volatile: bool = False

    @property
    def comment(self) -> str:
        """Meaning, unit and NULL's meaning, in one line."""
        parts = [self.meaning]
        if self.unit:
            parts.append(f"[{self.unit}]")
        if self.null:
            parts.append(f"NULL: {self.null}.")
        if self.volatile:
            parts.append("Volatile: may differ between runs of one seed.")
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class Frame:
    """A table: its name, what one row is, its columns and the columns that identify a row."""

    name: str
    grain: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]

    @property
    def schema(self) -> pl.Schema:
        """Column names and types, in order."""
        return pl.Schema({column.name: column.dtype for column in self.columns})

    def check(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the frame with columns in order.

        Raises ValueError that names the first column that is missing, surplus, of another
        type, or NULL where it must not be, or the key when it repeats.
        """
        for column in self.columns:
            if column.name not in frame.columns:
                raise ValueError(f"{self.name}: column {column.name} is missing")
            found = frame.schema[column.name]
            if found != column.dtype:
                raise ValueError(
                    f"{self.name}.{column.name}: type {found} where {column.dtype} is declared"
                )
            if column.null is None and frame[column.name].null_count():
                raise ValueError(
                    f"{self.name}.{column.name}: {frame[column.name].null_count()} NULL values; "
                    "none is allowed"
                )
        surplus = set(frame.columns) - set(self.schema)
        if surplus:
            raise ValueError(f"{self.name}: undeclared columns {sorted(surplus)}")
        if not self.is_in_order(frame) and frame.height != frame.select(self.key).n_unique():
            raise ValueError(f"{self.name}: rows repeat the key ({', '.join(self.key)})")
        return frame.select(self.schema.names())

    def is_in_order(self, rows: pl.DataFrame) -> bool:
        """Whether rows stand in the order of the key, none twice: soon told, without a sort."""
        later, same = pl.lit(value=False), pl.lit(value=True)
        for name in self.key:
            this, before = pl.col(name), pl.col(name).shift()
            later, same = later | (same & (this > before)), same & (this == before)
        return bool(rows.select(later.slice(1).all(ignore_nulls=False)).item())

    def in_order(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return rows in the order of the key."""
        return rows if self.is_in_order(rows) else rows.sort(self.key)
