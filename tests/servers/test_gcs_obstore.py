"""The strict GCS server, seen by obstore (the XML API)."""

import obstore
import pytest
from obstore.exceptions import AlreadyExistsError
from obstore.store import GCSStore

from tests.servers.handles import GcsBucket


@pytest.fixture
def store(gcs: GcsBucket) -> GCSStore:
    return GCSStore(**gcs.obstore_options)


def test_create_only_put_refuses_the_second_writer(gcs: GcsBucket, store: GCSStore) -> None:
    obstore.put(store, "a/one", b"first", mode="create")
    with pytest.raises(AlreadyExistsError):
        obstore.put(store, "a/one", b"second", mode="create")
    assert gcs.read("a/one") == b"first"
