"""Log lines that a machine can read: one JSON object a line, with the request that it belongs to.

Bodies, headers, queries and tokens are never handed to a logger, so none can be in a line.
"""

import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson

# The request that this task works for; empty outside of one.
request_id: ContextVar[str] = ContextVar("request_id", default="")

# Fields of `log.info("…", extra={…})` that come out as they are; others of a record are the library's own.
_EXTRA = ("method", "route", "status", "duration_ms", "outcome", "transport", "code", "reason")


def configure(*, level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Send every logger's lines to `stream` (default: standard error), as JSON. Called once, by the commands."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it would write every address that we call


class JsonLines(logging.Formatter):
    """`{"at", "level", "logger", "message", …}`; a traceback stands in `error` as text."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if known := request_id.get():
            line["requestId"] = known
        line |= {name: vars(record)[name] for name in _EXTRA if name in vars(record)}
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()
