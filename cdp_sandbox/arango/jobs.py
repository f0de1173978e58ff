"""Requests about asynchronous jobs (`/_api/job`) and tasks of the server (`/_api/tasks`).

The stand-in starts neither, so there never are any: it lists none, finds none and deletes none. What would start one is
refused.
"""

from __future__ import annotations

from cdp_sandbox.arango import refusals
from cdp_sandbox.arango.calls import Call
from cdp_sandbox.arango.errors import ArangoError
from cdp_sandbox.arango.wire import Reply, reply


def handle(call: Call) -> Reply:
    """Answer a request about jobs."""
    match call.method, call.segments:
        case "GET", ("pending" | "done",):
            return reply([])
        case "DELETE", ("all" | "expired",):
            return reply({"result": True})
        case (("GET" | "PUT" | "DELETE"), (_, *_)):
            raise ArangoError(404, 404, "not found")
    raise refusals.bad_parameter()


def handle_tasks(call: Call) -> Reply:
    """Answer a request about tasks."""
    match call.method, call.segments:
        case "GET", ():
            return reply([])
        case (("GET" | "DELETE"), (_,)):
            raise ArangoError(404, 1852, "task not found")
        case (("POST" | "PUT"), _):
            raise refusals.not_implemented("tasks in JavaScript")
    raise refusals.method_not_supported()
