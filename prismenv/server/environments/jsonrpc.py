"""JSON-RPC 2.0 as MCP uses it, without any connection: what a call is, and how its answer is told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from prismenv.server.limits import MAX_NAME

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
SERVER_ERROR = -32000
NO_RESOURCE = -32002
UNSUPPORTED_VERSION = -32022
CANCELLED = -32800

RequestId = str | int | None


class RpcException(Exception):
    """A call that cannot be answered. `status` is HTTP's, where it came over HTTP; `data` None: no more to say."""

    def __init__(self, code: int, message: str, data: Any = None, *, status: int = 200) -> None:
        super().__init__(message)
        self.code = code
        self.data = data
        self.status = status


@dataclass(frozen=True, slots=True)
class Call:
    """What a client asks. `notification`: it wants no answer."""

    method: str
    params: Mapping[str, Any] = field(default_factory=dict)
    request_id: RequestId = None
    notification: bool = False


def read_call(given: Mapping[str, Any]) -> Call | None:
    """The call in a message; None: it is an answer to one of ours. RpcException for anything else."""
    if given.get("jsonrpc") != "2.0":
        raise _invalid('jsonrpc must be "2.0"')
    if "method" not in given and ("result" in given or "error" in given):
        return None
    method, params, request_id = given.get("method"), given.get("params", {}), given.get("id")
    if not isinstance(method, str) or not method or len(method) > MAX_NAME:
        raise _invalid(f"method must be text of 1 to {MAX_NAME} characters")
    if isinstance(request_id, bool) or not isinstance(request_id, str | int | None) or len(str(request_id)) > MAX_NAME:
        raise _invalid(f"id must be text or an integer of at most {MAX_NAME} characters")
    if not isinstance(params, Mapping):
        raise RpcException(INVALID_PARAMS, "params must be an object")
    return Call(method, params, request_id, "id" not in given)


def id_of(given: Any) -> RequestId:
    """The id of a message that may be no call; None where it has none that could be told."""
    found = given.get("id") if isinstance(given, Mapping) else None
    if isinstance(found, bool) or not isinstance(found, str | int):
        return None
    return found if len(str(found)) <= MAX_NAME else None


def result_of(request_id: RequestId, result: Any) -> dict[str, Any]:
    """An answer."""
    return {"jsonrpc": "2.0", "id": request_id, "result": result}


def error_of(request_id: RequestId, error: RpcException) -> dict[str, Any]:
    """An answer that says why there is none."""
    wrong: dict[str, Any] = {"code": error.code, "message": str(error)}
    if error.data is not None:
        wrong["data"] = error.data
    return {"jsonrpc": "2.0", "id": request_id, "error": wrong}


def notification_of(method: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """What is told without having been asked."""
    return {"jsonrpc": "2.0", "method": method, "params": params}


def _invalid(message: str) -> RpcException:
    return RpcException(INVALID_REQUEST, message, status=400)
