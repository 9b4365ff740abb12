"""A refusal in OpenAI's words, and the one way to read a body, which refuses what it cannot use.

In requests unknown fields are ignored and null means default; what has a wrong type is an
`ApiError` that names the field.
"""

import re
from collections.abc import Mapping
from typing import Final, TypeVar

import msgspec
from msgspec import Struct


class ApiError(Exception):
    """A request that cannot be answered. `param` names the field at fault."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] = {},
    ) -> None:
        super().__init__(message)
        self.headers = headers
        self.status, self.message, self.param, self.code = status, message, param, code

    def body(self) -> bytes:
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        if self.status == 429:
            kind = "rate_limit_error"
        return msgspec.json.encode(
            ErrorBody(error=ErrorDetail(self.message, kind, self.param, self.code))
        )


class ErrorDetail(Struct):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(Struct):
    error: ErrorDetail


_PATH: Final = re.compile(r" - at `\$\.?([^`]*)`$")


_T = TypeVar("_T")


def read_body(body: bytes, kind: type[_T]) -> _T:
    """Decode a request body. Raises ApiError that names the field at fault."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        where = _PATH.search(str(error))
        param = where[1] if where else None
        raise ApiError(
            400, f"{param or 'body'}: {_PATH.sub('', str(error))}", param=param
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError(400, f"the request body is not valid JSON: {error}") from error
