"""What exists under which path: shows, the catalog, and questions to the tiers."""

from shotfs.namespace.catalog import Catalog, Entry
from shotfs.namespace.listing import Listing
from shotfs.namespace.lookup import Namespace
from shotfs.namespace.shows import Show, ShowSet
from shotfs.namespace.spec_loading import SpecLoader
from shotfs.namespace.spec_watch import SpecWatch
from shotfs.namespace.tier_pool import TierPool

__all__ = [
    "Catalog",
    "Entry",
    "Listing",
    "Namespace",
    "Show",
    "ShowSet",
    "SpecLoader",
    "SpecWatch",
    "TierPool",
]
