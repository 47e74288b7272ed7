"""What shotfs is measured against for a job's inputs: the `deadline` package.

    python deadline_download.py S3_URL BUCKET PREFIX MANIFEST DIRECTORY

Run by the interpreter of .venv-deadline. Downloads the files of the asset manifest MANIFEST, whose
contents lie at PREFIX/Data/{hash}.xxh128, into DIRECTORY by the package's own function. Prints one
JSON object: {"count", "bytes", "seconds", "cpu_s"}. What it takes to import is not counted.
"""

from __future__ import annotations

import json
import sys
import time

import boto3
import start_line
from deadline.job_attachments._aws import aws_clients
from deadline.job_attachments.asset_manifests.decode import decode_manifest
from deadline.job_attachments.download import download_files_from_manifests


class _Session(boto3.Session):
    """A session whose clients talk to the server of the benchmark."""

    endpoint_url = ""

    def client(self, service_name, **options):  # type: ignore[no-untyped-def]  # as boto3's
        return super().client(service_name, **{**options, "endpoint_url": self.endpoint_url})


def download(
    url: str, bucket: str, prefix: str, manifest_file: str, directory: str
) -> dict[str, float]:
    """Download the files of the manifest."""
    _Session.endpoint_url = url
    session = _Session(
        aws_access_key_id="bench", aws_secret_access_key="bench", region_name="us-east-1"
    )
    # Its clients ask who the account is, to name the expected owner of the bucket: moto has one.
    aws_clients.get_account_id(session=session)
    with open(manifest_file, encoding="utf-8") as file:
        manifest = decode_manifest(file.read())
    start_line.wait()
    started, cpu_s = time.perf_counter(), time.process_time()
    summary = download_files_from_manifests(
        bucket, {directory: manifest}, cas_prefix=f"{prefix}/Data", session=session
    )
    return {
        "count": summary.processed_files,
        "bytes": summary.processed_bytes,
        "seconds": time.perf_counter() - started,
        "cpu_s": time.process_time() - cpu_s,
    }


if __name__ == "__main__":
    print(json.dumps(download(*sys.argv[1:])))
