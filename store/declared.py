"""What every part of a study file has in common."""

from collections.abc import Callable
from typing import Any, ClassVar, cast

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer


class Declared(BaseModel):
    """A part of a study file: no key that is not declared, no value changed afterwards.

    left_out_at_default: keys that studies have gained since shards were first written. At their
    default they are not written out, so that a study that does not use them keeps its shards.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    left_out_at_default: ClassVar[tuple[str, ...]] = ()

    @model_serializer(mode="wrap")
    def _without_defaults_of_later(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        dumped: dict[str, Any] = handler(self)
        for key in self.left_out_at_default:
            if getattr(self, key) == type(self).model_fields[key].default:
                dumped.pop(key, None)
        return dumped


def unless_said(**default: str) -> Callable[[Any], Any]:
    """Return what puts a key that tells kinds apart into a section that leaves it out."""

    def told(value: Any) -> Any:
        return {**default, **cast("dict[str, Any]", value)} if isinstance(value, dict) else value

    return told
