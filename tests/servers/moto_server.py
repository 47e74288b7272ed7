"""moto's server, put right where it answers otherwise than S3 (moto 5.2); run by `s3.S3Server`.

- A listing of multipart uploads says when each was begun (moto: one day in 2010).
- A part for an upload that is gone, and its completion, are 404 NoSuchUpload (moto: 500).
- Of two conditional writes at once one wins (moto looks, then writes).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from moto.core.responses import ActionResult
from moto.s3.exceptions import NoSuchUpload
from moto.s3.models import FakeMultipart, S3Backend
from moto.s3.responses import S3Response
from moto.server import main

_writing = threading.RLock()


def _one_at_a_time(method: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        with _writing:
            return method(*arguments, **options)

    return call


def _of_known_uploads(method: Callable[..., Any]) -> Callable[..., Any]:
    def call(self: S3Backend, bucket_name: str, multipart_id: str, *rest: Any, **more: Any) -> Any:
        if multipart_id not in self.get_bucket(bucket_name).multiparts:
            raise NoSuchUpload(upload_id=multipart_id)
        return method(self, bucket_name, multipart_id, *rest, **more)

    return call


def _begin(method: Callable[..., None]) -> Callable[..., None]:
    def call(self: Any, *arguments: Any, **options: Any) -> None:
        method(self, *arguments, **options)
        self.initiated = datetime.now(UTC)

    return call


def _list_multipart_uploads(self: Any) -> Any:
    prefix = self.querystring.get("prefix", [""])[0]
    uploads = [
        {
            "Key": one.key_name,
            "UploadId": one.id,
            "StorageClass": "STANDARD",
            "Initiated": one.initiated.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        }
        for one in sorted(
            self.backend.list_multipart_uploads(self.bucket_name).values(),
            key=lambda one: (one.key_name, one.initiated),
        )
        if one.key_name.startswith(prefix)
    ]
    self.data["Action"] = "ListMultipartUploads"
    answer = {"Bucket": self.bucket_name, "IsTruncated": False, "Uploads": uploads}
    return self.serialized(ActionResult(answer))


def put_right() -> None:
    """Change moto in this process."""
    multipart: Any = FakeMultipart
    backend: Any = S3Backend
    response: Any = S3Response
    multipart.__init__ = _begin(multipart.__init__)
    backend.upload_part = _of_known_uploads(backend.upload_part)
    backend.complete_multipart_upload = _of_known_uploads(backend.complete_multipart_upload)
    response.list_multipart_uploads = _list_multipart_uploads
    response.put_object = _one_at_a_time(response.put_object)
    response._key_response_post = _one_at_a_time(response._key_response_post)


if __name__ == "__main__":
    put_right()
    main()
