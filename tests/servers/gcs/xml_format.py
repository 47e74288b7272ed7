"""Parts of the XML API's messages: documents, errors, and descriptions in headers."""

from __future__ import annotations

from collections.abc import Mapping
from xml.sax.saxutils import escape

from tests.servers.gcs import refusals
from tests.servers.gcs.call import FIXED_HEADERS
from tests.servers.gcs.model import Description
from tests.servers.wire import Response


def described(headers: Mapping[str, str]) -> Description:
    """Return the description in the headers of an upload."""
    prefix = "x-goog-meta-"
    return Description(
        content_type=headers.get("content-type"),
        metadata={
            name.removeprefix(prefix): value
            for name, value in headers.items()
            if name.startswith(prefix)
        },
        fixed={
            field: headers[header.lower()]
            for field, header in FIXED_HEADERS.items()
            if header.lower() in headers
        },
    )


def xml_response(status: int, body: str) -> Response:
    text = f"<?xml version='1.0' encoding='UTF-8'?>{body}"
    return Response(status, {"Content-Type": "application/xml; charset=UTF-8"}, text.encode())


def xml_error(refusal: refusals.Refusal) -> Response:
    body = element("Code", refusal.code) + element("Message", refusal.message)
    response = xml_response(refusal.status, f"<Error>{body}</Error>")
    response.headers |= refusal.headers
    return response


def element(name: str, text: str) -> str:
    return f"<{name}>{escape(text)}</{name}>"
