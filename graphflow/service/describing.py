"""The description of the interface, with what every request may be refused for."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from graphflow.service.views import ErrorView

REFUSALS = {
    400: "the body is no JSON",
    401: "a token is missing",
    403: "the host or the page is not known",
    404: "there is no such thing",
    409: "it is not in a state in which this can be done",
    413: "it is larger than allowed",
    422: "it has problems",
    429: "too much at once",
}
_TEMPLATE = "#/components/schemas/{model}"


def describe(app: FastAPI) -> None:
    """Have an application describe refusals, too; telling each route of them would have each check them."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = plain()
            schemas = schema.setdefault("components", {}).setdefault("schemas", {})
            error = ErrorView.model_json_schema(ref_template=_TEMPLATE)
            schemas |= {**error.pop("$defs"), "ErrorView": error}
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            content = {"application/json": {"schema": {"$ref": _TEMPLATE.format(model="ErrorView")}}}
            for methods in schema["paths"].values():
                for operation in methods.values():
                    operation["responses"] |= {
                        str(status): {"description": text, "content": content} for status, text in REFUSALS.items()
                    }
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]  # as its documentation says
