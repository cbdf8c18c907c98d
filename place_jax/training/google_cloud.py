"""Where this host and a bucket lie in Google's cloud, as it says itself; elsewhere nothing."""

import functools
import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable

_METADATA = "http://metadata.google.internal/computeMetadata/v1/instance/"
_BUCKETS = "https://storage.googleapis.com/storage/v1/b/"
_SECONDS = 3.0
# Locations of buckets that are more than one region (cloud.google.com/storage/docs/locations).
_MULTI_REGIONS = {"us": "us", "europe": "eu", "asia": "asia"}
_DUAL_REGIONS = {
    "asia1": ("asia-northeast1", "asia-northeast2"),
    "eur4": ("europe-north1", "europe-west4"),
    "eur5": ("europe-west1", "europe-west2"),
    "eur7": ("europe-west2", "europe-west3"),
    "eur8": ("europe-west3", "europe-west6"),
    "nam4": ("us-central1", "us-east1"),
}

Fetch = Callable[[str, dict[str, str]], str]


def fetch(url: str, headers: dict[str, str]) -> str:
    """The text at an address. Raises OSError where it does not answer."""
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
        return answer.read().decode()


@functools.cache
def zone() -> str:
    """The zone of this machine, as us-west4-a; empty where it is not one of Google's."""
    try:
        if "Google" not in open("/sys/class/dmi/id/product_name", encoding="utf-8").read():
            return ""
        return fetch(f"{_METADATA}zone", {"Metadata-Flavor": "Google"}).rsplit("/", 1)[-1]
    except OSError:
        return ""


def bucket_location(bucket: str, get: Fetch = fetch) -> str:
    """The location of a bucket in lower case, as us-west4 or us; empty where it is not told."""
    try:
        token = json.loads(
            get(f"{_METADATA}service-accounts/default/token", {"Metadata-Flavor": "Google"})
        )["access_token"]
        answer = get(f"{_BUCKETS}{bucket}?fields=location", {"Authorization": f"Bearer {token}"})
        return json.loads(answer)["location"].lower()
    except (OSError, KeyError, json.JSONDecodeError):
        return ""


def region_problems(
    zone: str,
    paths: Iterable[str | os.PathLike],
    location_of: Callable[[str], str] = bucket_location,
) -> list[str]:
    """A line for each bucket that is not where the hosts are; none outside of Google's cloud.

    Args:
      zone: of the hosts.
      paths: of which those that begin with gs:// are looked at.
      location_of: bucket -> location.
    """
    region = zone.rsplit("-", 1)[0]
    problems = []
    buckets = {os.fspath(p).split("/")[2] for p in paths if os.fspath(p).startswith("gs://")}
    for bucket in sorted(buckets) if region else ():
        location = location_of(bucket)
        whole = _MULTI_REGIONS.get(region.split("-")[0])
        near = location in ("", region, whole) or region in _DUAL_REGIONS.get(location, ())
        if not near:
            problems.append(
                f"gs://{bucket} is in {location} and the hosts in {region}: reading and saving "
                f"would be slow and be charged, use a bucket in {region}"
            )
    return problems
