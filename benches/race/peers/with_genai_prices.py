"""What a calculator of one request's price does with a log, line by line: `with_genai_prices.py LOG [ANSWERS]`.

Another thing than the sums: every line is priced for itself, duplicates too, in Python, and nothing is grouped. A model
that it doesn't know is counted and left out.
"""

import json
import sys
from datetime import datetime
from decimal import Decimal

from genai_prices import Usage, calc_price


def tokens(details, modality):
    return sum(part["tokenCount"] for part in details if part["modality"] == modality)


def price(record):
    """US dollars."""
    usage = record["usageMetadata"]
    used = Usage(
        input_tokens=usage.get("promptTokenCount", 0) + usage.get("toolUsePromptTokenCount", 0),
        cache_read_tokens=usage.get("cachedContentTokenCount", 0),
        output_tokens=usage.get("candidatesTokenCount", 0) + usage.get("thoughtsTokenCount", 0),
        input_audio_tokens=tokens(usage.get("promptTokensDetails", ()), "AUDIO"),
        cache_audio_read_tokens=tokens(usage.get("cacheTokensDetails", ()), "AUDIO"),
        output_audio_tokens=tokens(usage.get("candidatesTokensDetails", ()), "AUDIO"),
    )
    model = record["model"].removeprefix("models/")
    at = datetime.fromisoformat(record["timestamp"])
    return calc_price(used, model, provider_id="google", genai_request_timestamp=at).total_price


log, *answers = sys.argv[1:]
seen = priced = unknown = 0
dollars = Decimal(0)
with open(log, "rb") as lines:
    for line in lines:
        record = json.loads(line)
        seen += 1
        if "usageMetadata" in record:
            try:
                dollars += price(record)
                priced += 1
            except LookupError:
                unknown += 1
for folder in answers:
    with open(f"{folder}/requests.json", "w") as file:
        json.dump({"seen": seen, "priced": priced, "unknown_model": unknown, "dollars": str(dollars)}, file)
