"""What every part of a study file has in common."""

from pydantic import BaseModel, ConfigDict


class Declared(BaseModel):
    """A part of a study file: no key that is not declared, no value changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
