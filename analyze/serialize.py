"""Results to strict JSON and back, at full precision, checked on the way in.

JSON has no infinite numbers: they stand as the texts "Infinity", "-Infinity" and "NaN".
"""

import json
import math
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from analyze.results import Results
from store.atomic import write_text
from store.errors import AnalysisError

_ADAPTER: Final = TypeAdapter(Results)
_NOT_FINITE: Final = ("Infinity", "-Infinity", "NaN")


def results_to_json(results: Results) -> str:
    """Return the results as strict JSON text; every float reads back as the same float."""
    return strict_json(results)


def strict_json(value: object) -> str:
    """Return typed values as strict JSON text, as ``results_to_json`` does results."""
    return to_json(value, indent=1, inf_nan_mode="strings").decode() + "\n"


def results_from_json(text: str, *, source: str) -> Results:
    """Read results, checking every type and that there is nothing else.

    source: what the text is, for the message. Raises AnalysisError that names the first fault.
    """
    as_written = _as_written(text)
    if as_written is not None:
        return as_written
    try:
        content: Any = json.loads(text, parse_constant=_refuse_constant)
        results = _ADAPTER.validate_python(content)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in fault["loc"]) or "results"
        raise AnalysisError(
            f"{source}: {place}: {fault['msg'][0].lower()}{fault['msg'][1:]}; delete the file and "
            "run the analysis again"
        ) from None
    except ValueError as error:
        raise AnalysisError(f"{source}: not JSON: {error}; run the analysis again") from None
    if _plain(results) != content:
        raise AnalysisError(
            f"{source}: written by another version of the analysis, or edited; delete the file "
            "and run the analysis again"
        )
    return results


def _as_written(text: str) -> Results | None:
    """Return the results that a text is of, where it is to the letter what is written of them."""
    try:
        results = _ADAPTER.validate_json(text)
    except ValidationError:
        return None
    return results if results_to_json(results) == text else None


def save_results(path: Path, results: Results) -> None:
    """Write results whole or not at all."""
    write_text(path, results_to_json(results))


def load_results(path: Path) -> Results:
    """Read ``results.json``.

    Raises AnalysisError where it is missing, is no JSON, or is not what an analysis writes.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise AnalysisError(f"{path}: no such file; run the analysis first") from None
    except (OSError, UnicodeDecodeError) as error:
        raise AnalysisError(f"{path}: cannot be read: {error}") from None
    return results_from_json(text, source=str(path))


def results_schema() -> str:
    """Return the JSON Schema (2020-12) of ``results.json`` as text."""
    schema: Any = _ADAPTER.json_schema(mode="serialization")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(_with_not_finite(schema), indent=1, ensure_ascii=False) + "\n"


def _plain(results: Results) -> Any:
    return _texts_for_not_finite(_ADAPTER.dump_python(results, mode="json"))


def _texts_for_not_finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, dict):
        return {key: _texts_for_not_finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_texts_for_not_finite(item) for item in value]
    return value


def _with_not_finite(schema: Any) -> Any:
    """Let every number of the schema also be one of the texts for what is not finite."""
    if isinstance(schema, list):
        return [_with_not_finite(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") == "number":
        rest = {key: item for key, item in schema.items() if key != "type"}
        return rest | {"anyOf": [{"type": "number"}, {"enum": list(_NOT_FINITE)}]}
    return {key: _with_not_finite(item) for key, item in schema.items()}


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")
