"""The log on standard error: a line each, as text or as JSON, with the id of the request that it was written for.

    2026-11-28 14:02:11,310 INFO    app.security: login ok address=192.0.2.1 account=5cf0… request=9f2c11aa-1d
    {"time":"2026-11-28T14:02:11.310Z","level":"INFO","logger":"app.security","message":"login ok …","request_id":…}

What is written here was bounded and freed of secrets by who writes it; what can't be known beforehand, such as the
message of an exception, is cut.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal

from snaptable.web.request_ids import RequestIdFilter

LogFormat = Literal["text", "json"]
TEXT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
LONGEST_MESSAGE = 8_000
LONGEST_TRACEBACK = 32_000
OWN = ("time", "level", "logger", "message", "request_id", "traceback")
"""The members of each JSON line that no field of a record takes the place of."""


def log_to_standard_error(form: LogFormat = "text") -> None:
    """Have the log written to standard error, a line each."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines(TEXT))
    handler.addFilter(RequestIdFilter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of each form that is not valid


class TextLines(logging.Formatter):
    """Lines for people; the request stands at the end of its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # as logging has it
        """Return the line, without what may follow it."""
        line = super().formatMessage(record)
        request = getattr(record, "request_id", None)
        return line if request is None else f"{line} request={request}"


class JsonLines(logging.Formatter):
    """One JSON object a line, in ASCII: whatever is in it, a line is a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line: dict[str, object] = {
            "time": time,
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage()[:LONGEST_MESSAGE],
        }
        if (request := getattr(record, "request_id", None)) is not None:
            line["request_id"] = request
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)[-LONGEST_TRACEBACK:]
        fields = getattr(record, "fields", None)
        if isinstance(fields, dict):
            line |= {name: value for name, value in fields.items() if name not in OWN}
        return json.dumps(line, separators=(",", ":"), default=str)
