"""From a line of a log to a request, or to the reason why it is none (design section 3).

Each reason has one function; `judge` calls them in the order of the closed list, so that the first
that holds is the one given.
"""

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import tokens
from books import TUNED, plain_model
from tokens import Refused, Tokens

OUR_SERVICE = "generativelanguage.googleapis.com"
MAX_COUNT = 2**40
MAX_DEPTH = 128

STRINGS = (
    "request_id", "project_id", "model", "method", "service_tier", "usage_tier", "channel", "service",
    "api_key_id", "region", "base_model", "model_version",
)  # fmt: skip
OBJECTS = ("usageMetadata", "labels", "quantities", "cached_content")
FIELDS = STRINGS + OBJECTS + ("timestamp", "status", "latency_ms", "tools")

USAGE_TIERS = ("free", "tier1", "tier2", "tier3", "unknown")
CHANNELS = ("api", "ai_studio")
SERVICE_TIERS = ("standard", "batch", "flex", "priority")
TOOLS = ("not logged", "google_search", "others")  # what C11 tells apart
BATCH_METHODS = ("batchGenerateContent", "asyncBatchEmbedContent")
STORAGE_WITH_CACHE = ("cachedContents.create", "cachedContents.patch", "cachedContents.delete")
QUANTITY_METERS = (
    "image", "video_second", "video_second_1080p", "video_second_4k", "song", "grounding_search_prompt",
    "grounding_search_query", "grounding_maps_prompt", "grounding_maps_query",
)  # fmt: skip

USAGE_MEMBERS = tokens.COUNTS + tokens.DETAILS + ("trafficType", "serviceTier")

GRPC_STATUS = {
    "OK": 200, "CANCELLED": 499, "UNKNOWN": 500, "INVALID_ARGUMENT": 400, "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404, "ALREADY_EXISTS": 409, "PERMISSION_DENIED": 403, "UNAUTHENTICATED": 401,
    "RESOURCE_EXHAUSTED": 429, "FAILED_PRECONDITION": 400, "ABORTED": 409, "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501, "INTERNAL": 500, "UNAVAILABLE": 503, "DATA_LOSS": 500,
}  # fmt: skip


class AnotherService(Exception):
    """A whole line that is another service's call: not a request."""


@dataclass
class Request:
    """One call of the API, as logged; `usage_less` where it went well and tells no usage."""

    request_id: str | None
    project_id: str
    instant: int  # nanoseconds since 1970
    status: int | str
    method: str
    model: str | None
    base_model: str | None
    model_version: str | None
    usage_tier: str | None
    service_tier: str
    channel: str
    tools: frozenset | None
    usage_less: bool = False
    tokens: Tokens = field(default_factory=Tokens)
    quantities: dict = field(default_factory=dict)
    cache: "CacheFacts | None" = None
    origin: str = ""
    line: int = 0

    @property
    def went_well(self):
        return went_well(self.status)

    @property
    def tuned(self):
        return self.model is not None and self.model.startswith(TUNED)

    @property
    def tools_seen(self):
        """C11 asks only whether google_search is alone."""
        if self.tools is None:
            return "not logged"
        return "google_search" if self.tools == {"google_search"} else "others"

    def facts(self):
        """What figures depend on: labels, key, region, latency and time are aside."""
        return (
            self.project_id, self.request_id, self.status, self.method, self.model,
            self.base_model if self.tuned else self.model_version,
            self.usage_tier, self.service_tier, self.channel,
            self.tools_seen,
            self.tokens.facts(), tuple(sorted(self.quantities.items())), self.cache,
        )  # fmt: skip


@dataclass(frozen=True)
class CacheFacts:
    """What a storage method says of its cache."""

    name: str | None
    expires: int | None  # nanoseconds since 1970
    tokens: int | None


@dataclass
class Settings:
    """What the command line says about reading."""

    methods: dict
    project: str | None = None
    time_zone: str | None = None


@dataclass
class Shown:
    """What a refused line tells of itself, as far as it can be read."""

    instant: int | None = None
    request_id: str | None = None
    project_id: str | None = None
    model: str | None = None


def judge(line, settings):
    """A line that isn't blank: a Request, or Refused or AnotherService is raised."""
    record = parse_object(line)
    method = method_of(record, settings)
    refuse_doubled_keys(record, method)
    tell_another_service(record)
    refuse_missing_fields(record, method, settings)
    refuse_wrong_types(record, method)
    instant = read_timestamps(record, settings)
    status = read_status(record)
    refuse_unknown_method(method)
    request = Request(
        request_id=record.get("request_id"),
        project_id=record.get("project_id") or settings.project,
        instant=instant,
        status=status,
        method=method.name,
        model=read_model_name(record, "model"),
        base_model=read_model_name(record, "base_model"),
        model_version=read_model_name(record, "model_version"),
        usage_tier=read_usage_tier(record),
        channel=read_channel(record),
        service_tier=read_service_tier(record, method),
        tools=read_tools(record),
    )
    if misses_usage(record, method, status):
        request.usage_less = True
        return request
    usage, quantities, stored = read_all_counts(record, method)
    if method.kind == "storage":
        request.cache = read_cache(record, stored, settings)
    details = tokens.read_modalities(usage)
    request.quantities = read_meters(quantities)
    request.tokens = tokens.weigh(usage, details, method.name)
    return request


def shown(line, settings):
    """What can be told of a refused line: a field given twice or of another type can't be read."""
    try:
        record = parse_object(line)
    except Refused:
        return Shown()
    text = {name: record.get_once(name) for name in ("request_id", "project_id", "model")}
    text = {name: value if isinstance(value, str) else None for name, value in text.items()}
    if record.get("project_id") is None and not record.has_doubled(["project_id"]):
        text["project_id"] = settings.project
    model = text.pop("model")
    instant = parse_timestamp(record.get_once("timestamp"), settings.time_zone)
    return Shown(instant, model=(plain_model(model) or None) if model else None, **text)


# --- JSON ----------------------------------------------------------------------


@dataclass(frozen=True)
class Number:
    """A JSON number as it was written, so that 12.0 and 1e3 can be told apart."""

    literal: str

    def whole(self):
        """Its value where it is an integer, or one with a fraction of zeros; else None."""
        match = re.fullmatch(r"(-?[0-9]+)(\.0+)?", self.literal)
        return bounded_int(match[1]) if match else None


class JsonObject:
    """An object with its keys in order, doubled ones too. Null and the empty string are missing."""

    def __init__(self, pairs):
        self.pairs = pairs

    def get(self, key):
        for name, value in self.pairs:
            if name == key:
                return None if value == "" else value
        return None

    def get_once(self, key):
        return None if self.has_doubled([key]) else self.get(key)

    def has_doubled(self, keys=None):
        times = Counter(name for name, _ in self.pairs)
        return any(n > 1 and (keys is None or name in keys) for name, n in times.items())

    def items(self):
        """The members that are not missing."""
        return [(name, value) for name, value in self.pairs if value is not None and value != ""]


def parse_object(line):
    """malformed_json, not_an_object: a line is strict JSON in valid UTF-8, and an object."""
    try:
        text = line.decode("utf-8")
        refuse_depth(text)
        value = json.loads(
            text, parse_int=Number, parse_float=Number, parse_constant=refuse_constant,
            object_pairs_hook=JsonObject,
        )  # fmt: skip
        refuse_surrogates(value)
    except ValueError as fault:
        raise Refused("malformed_json") from fault
    if not isinstance(value, JsonObject):
        raise Refused("not_an_object")
    return value


def refuse_depth(text):
    """Arrays and objects may be nested 128 deep, the outermost counted."""
    depth, outside_strings = 0, re.sub(r'"(?:[^"\\]|\\.)*"', "", text)
    for character in outside_strings:
        depth += (character in "[{") - (character in "]}")
        if depth > MAX_DEPTH:
            raise ValueError("too deep")


def refuse_constant(name):
    raise ValueError(f"{name} is no JSON")


def refuse_surrogates(value):
    """A surrogate that is left after decoding came from a lone escape."""
    if isinstance(value, str):
        value.encode("utf-8")
    elif isinstance(value, list):
        for entry in value:
            refuse_surrogates(entry)
    elif isinstance(value, JsonObject):
        for name, entry in value.pairs:
            refuse_surrogates(name)
            refuse_surrogates(entry)


# --- reasons, in their order ------------------------------------------------------


def refuse_doubled_keys(record, method):
    """duplicate_key: a key twice, only among the fields that are read."""
    if record.has_doubled(FIELDS):
        raise Refused("duplicate_key")
    usage = record.get("usageMetadata")
    if isinstance(usage, JsonObject):
        if usage.has_doubled(usage_members_read(method)):
            raise Refused("duplicate_key")
        for item in detail_items(usage) if is_inference(method) else []:
            if isinstance(item, JsonObject) and item.has_doubled(["modality", "tokenCount"]):
                raise Refused("duplicate_key")
    labels, quantities = record.get("labels"), record.get("quantities")
    if isinstance(labels, JsonObject) and labels.has_doubled():
        raise Refused("duplicate_key")
    if is_inference(method) and isinstance(quantities, JsonObject) and quantities.has_doubled(QUANTITY_METERS):
        raise Refused("duplicate_key")
    cache = record.get("cached_content")
    if isinstance(cache, JsonObject) and cache.has_doubled(["name", "expire_time", "total_tokens"]):
        raise Refused("duplicate_key")


def tell_another_service(record):
    """Another service's name, or a trafficType (Vertex), is another bill."""
    service, usage = record.get("service"), record.get("usageMetadata")
    if isinstance(service, str) and service != OUR_SERVICE:
        raise AnotherService
    if isinstance(usage, JsonObject) and usage.get("trafficType") is not None:
        raise AnotherService


def refuse_missing_fields(record, method, settings):
    """missing_field: a field that this method and status can't do without."""
    needed = ["timestamp", "status"]
    if settings.project is None:
        needed.append("project_id")
    if is_inference(method) or is_create(method):
        needed.append("model")
    stores = method is not None and method.name in STORAGE_WITH_CACHE
    if stores and went_well(parse_status(record.get("status"))):
        needed.append("cached_content")
        refuse_missing_cache_members(record, method)
    if any(record.get(name) is None for name in needed):
        raise Refused("missing_field")
    if "model" in needed and isinstance(record.get("model"), str) and not plain_model(record.get("model")):
        raise Refused("missing_field")


def refuse_missing_cache_members(record, method):
    cache, usage = record.get("cached_content"), record.get("usageMetadata")
    if not isinstance(cache, JsonObject):
        return
    counted = cache.get("total_tokens") is not None or (
        isinstance(usage, JsonObject) and usage.get("totalTokenCount") is not None
    )
    if cache.get("name") is None or (is_create(method) and not counted):
        raise Refused("missing_field")


def refuse_wrong_types(record, method):
    """wrong_type: a field, or a member of its list or object, has another JSON type."""
    for name in STRINGS:
        expect(record.get(name), str)
    for name in OBJECTS:
        expect(record.get(name), JsonObject)
    expect(record.get("latency_ms"), Number)
    expect_list_of(record.get("tools"), str)
    for _, value in members(record, "labels"):
        expect(value, str)
    if record.get("cached_content"):
        expect(record.get("cached_content").get("name"), str)
    usage = record.get("usageMetadata")
    if usage and is_inference(method):
        expect(usage.get("serviceTier"), str)
        for name in tokens.DETAILS:
            expect_list_of(usage.get(name), JsonObject)
        for item in detail_items(usage):
            expect(item.get("modality"), (str, Number))


def expect(value, kind):
    if value is not None and not isinstance(value, kind):
        raise Refused("wrong_type")


def expect_list_of(value, kind):
    expect(value, list)
    for entry in value or []:
        expect(None if entry == "" else entry, kind)


def read_timestamps(record, settings):
    """bad_timestamp: the request's own time, and a cache's expiry where there is one."""
    instant = parse_timestamp(record.get("timestamp"), settings.time_zone)
    cache = record.get("cached_content")
    expiry = cache.get("expire_time") if cache else None
    if instant is None or (expiry is not None and parse_timestamp(expiry, settings.time_zone) is None):
        raise Refused("bad_timestamp")
    return instant


def read_status(record):
    """bad_status: not 2xx, 4xx or 5xx, no gRPC code name, not `failed`."""
    status = parse_status(record.get("status"))
    if status is None:
        raise Refused("bad_status")
    return status


def refuse_unknown_method(method):
    """unknown_method: methods.csv has no such line."""
    if method is None:
        raise Refused("unknown_method")


def read_usage_tier(record):
    """bad_usage_tier. `unknown` says nothing, as if it were missing."""
    usage_tier = record.get("usage_tier")
    if usage_tier is not None and usage_tier not in USAGE_TIERS:
        raise Refused("bad_usage_tier")
    return None if usage_tier == "unknown" else usage_tier


def read_channel(record):
    """bad_channel."""
    channel = record.get("channel") or "api"
    if channel not in CHANNELS:
        raise Refused("bad_channel")
    return channel


def read_service_tier(record, method):
    """unknown_service_tier. Batch is never overridden; else the served tier in the usage wins."""
    logged = plain_service_tier(record.get("service_tier"))
    if logged == "batch" or method.name in BATCH_METHODS:
        return "batch"
    usage = record.get("usageMetadata")
    served = usage.get("serviceTier") if usage and is_inference(method) else None
    service_tier = plain_service_tier(served) if served is not None else logged
    if service_tier not in SERVICE_TIERS:
        raise Refused("unknown_service_tier")
    return service_tier


def misses_usage(record, method, status):
    """missing_usage, once all records of its identity were seen: neither usage nor quantities."""
    has_usage = record.get("usageMetadata") is not None or members(record, "quantities")
    return is_inference(method) and went_well(status) and not has_usage


def read_all_counts(record, method):
    """bad_count: every count of the record is a whole number from 0 to 2**40."""
    usage, quantities = {}, {}
    if is_inference(method):
        usage = tokens.read_counts(record.get("usageMetadata"), count)
        quantities = {
            meter: count(value) if meter in QUANTITY_METERS else None
            for meter, value in members(record, "quantities")
        }
    cache = record.get("cached_content")
    stored = count(cache.get("total_tokens")) if cache else None
    if is_create(method) and record.get("usageMetadata"):
        total = count(record.get("usageMetadata").get("totalTokenCount"))
        stored = total if stored is None else stored
    return usage, quantities, stored


def read_cache(record, stored, settings):
    cache = record.get("cached_content")
    if cache is None:
        return CacheFacts(None, None, stored)
    return CacheFacts(cache.get("name"), parse_timestamp(cache.get("expire_time"), settings.time_zone), stored)


def count(value):
    """A count as an int, None where it is missing."""
    if value is None:
        return None
    whole = None
    if isinstance(value, Number):
        whole = value.whole()
    elif isinstance(value, str) and re.fullmatch(r"[0-9]+", value):
        whole = bounded_int(value)
    if whole is None or not 0 <= whole <= MAX_COUNT:
        raise Refused("bad_count")
    return whole


def read_meters(quantities):
    """unknown_meter: a quantity that isn't in the list of section 3."""
    if any(meter not in QUANTITY_METERS for meter in quantities):
        raise Refused("unknown_meter")
    return {meter: quantity for meter, quantity in quantities.items() if quantity}


# --- single values ------------------------------------------------------------------


def method_of(record, settings):
    """The line of methods.csv, None for a method that it doesn't have."""
    name = record.get("method")
    name = "generateContent" if name is None else name
    return settings.methods.get(name) if isinstance(name, str) else None


def is_inference(method):
    """Only inference methods have token meters and quantities."""
    return method is not None and method.kind == "inference"


def is_create(method):
    return method is not None and method.name == "cachedContents.create"


def usage_members_read(method):
    if is_inference(method):
        return USAGE_MEMBERS
    return ("trafficType", "totalTokenCount") if is_create(method) else ("trafficType",)


def detail_items(usage):
    lists = [usage.get(name) for name in tokens.DETAILS]
    return [item for items in lists if isinstance(items, list) for item in items if item not in (None, "")]


def members(record, name):
    return record.get(name).items() if record.get(name) else []


def read_model_name(record, name):
    return plain_model(record.get(name)) or None if record.get(name) else None


def read_tools(record):
    tools = record.get("tools")
    return None if tools is None else frozenset(tool for tool in tools if tool)


def plain_service_tier(text):
    """Any case, SERVICE_TIER_ comes off, unspecified and missing are standard."""
    name = (text or "standard").lower().removeprefix("service_tier_")
    return "standard" if name == "unspecified" else name


def went_well(status):
    return isinstance(status, int) and 200 <= status <= 299


def parse_status(value):
    """An HTTP status as an int or its digits, a gRPC code name, `failed`; None for all else."""
    if value == "failed":
        return "failed"
    if isinstance(value, Number):
        whole = value.whole()
        return whole if whole is not None and (200 <= whole <= 299 or 400 <= whole <= 599) else None
    if not isinstance(value, str):
        return None
    return int(value) if re.fullmatch(r"[245][0-9][0-9]", value) else GRPC_STATUS.get(value)


TIMESTAMP = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})?"
)
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def parse_timestamp(value, time_zone):
    """RFC 3339 as nanoseconds since 1970, None where it can't be read. No second is 60."""
    match = TIMESTAMP.fullmatch(value) if isinstance(value, str) else None
    if not match or not (match[8] or time_zone):
        return None
    try:
        local = datetime(*(int(part) for part in match.groups()[:6]))
        since = local.replace(tzinfo=zone_of(match[8], time_zone)) - EPOCH
        year = (EPOCH + since).year
    except (ValueError, OverflowError):
        return None
    if not 1970 <= year <= 2261:
        return None
    seconds = since.days * 86_400 + since.seconds
    return seconds * 10**9 + int((match[7] or "")[:9].ljust(9, "0"))


def zone_of(offset, time_zone):
    if offset is None:
        return ZoneInfo(time_zone)
    if offset in "Zz":
        return timezone.utc
    hours, minutes = int(offset[1:3]), int(offset[4:6])
    if hours > 23 or minutes > 59:
        raise ValueError("no such offset")
    sign = -1 if offset[0] == "-" else 1
    return timezone(sign * timedelta(hours=hours, minutes=minutes))


def bounded_int(digits):
    """An integer of any length; what is longer than any count is only known to be too large."""
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("-").lstrip("0") or "0"
    return sign * (int(digits) if len(digits) < 20 else 10**20)
