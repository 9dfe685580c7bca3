//! Owns why a line or a quantity is in suspense: the closed list, in the order in which reasons are looked for.
//! Collecting what is suspended is for `suspense`.

use super::tier::words;

words! {
    /// Where a reason is found.
    Stage { Read = "read", Charge = "charge" }
}

words! {
    /// `bad_…`: the line is at fault. `unknown_…`: a book or the accounts file lacks it. The first that holds is given.
    Reason {
        TruncatedInput = "truncated_input",
        LineTooLong = "line_too_long",
        MalformedJson = "malformed_json",
        NotAnObject = "not_an_object",
        DuplicateKey = "duplicate_key",
        MissingField = "missing_field",
        WrongType = "wrong_type",
        BadTimestamp = "bad_timestamp",
        BadStatus = "bad_status",
        UnknownMethod = "unknown_method",
        BadUsageTier = "bad_usage_tier",
        BadChannel = "bad_channel",
        UnknownServiceTier = "unknown_service_tier",
        MissingUsage = "missing_usage",
        BadCount = "bad_count",
        UnknownModality = "unknown_modality",
        UnknownMeter = "unknown_meter",
        InconsistentCounts = "inconsistent_counts",
        UnexplainedTokens = "unexplained_tokens",
        UnknownUsageTier = "unknown_usage_tier",
        UnknownBaseModel = "unknown_base_model",
        UnknownModel = "unknown_model",
        UnknownPrice = "unknown_price",
    }
}

impl Reason {
    pub fn stage(self) -> Stage {
        if self < Reason::UnexplainedTokens { Stage::Read } else { Stage::Charge }
    }

    /// What a person can do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Reason::TruncatedInput => "export the file again: it ends before it is complete",
            Reason::LineTooLong => "raise --max-line if the line is a request",
            Reason::MalformedJson => "mend the export: the line isn't valid JSON in UTF-8",
            Reason::NotAnObject => "a line is one JSON object; other shapes are not read",
            Reason::DuplicateKey => "mend the export: a field stands twice with no telling which counts",
            Reason::MissingField => "add the field, or give --project where the log has no project",
            Reason::WrongType => "mend the export: a field has another type than the record's",
            Reason::BadTimestamp => "give --time-zone where times have no offset, else mend the export",
            Reason::BadStatus => "status is an HTTP code of 2xx, 4xx or 5xx, a gRPC code name, or failed",
            Reason::UnknownMethod => "add the method to a methods book (--methods FILE)",
            Reason::BadUsageTier => "usage_tier is free, tier1, tier2, tier3 or unknown",
            Reason::BadChannel => "channel is api or ai_studio",
            Reason::UnknownServiceTier => "service_tier is standard, batch, flex or priority",
            Reason::MissingUsage => "a request that went well needs usageMetadata or quantities: log them",
            Reason::BadCount => "counts are whole numbers from 0 to 2^40: mend the export",
            Reason::UnknownModality => "a modality is text, image, video, audio or document",
            Reason::UnknownMeter => "quantities are image, video_second, song, grounding_… (see README)",
            Reason::InconsistentCounts => "parts exceed their whole: mend the export",
            Reason::UnexplainedTokens => "totals exceed their parts: ask the gateway what it left out",
            Reason::UnknownUsageTier => "give --usage-tier, or an accounts file (rerate accounts LOGS)",
            Reason::UnknownBaseModel => "name the tuned model's base in the accounts file",
            Reason::UnknownModel => {
                "add the model to a price book (--prices FILE) or an alias (--aliases FILE)"
            }
            Reason::UnknownPrice => "add the price to a price book (--prices FILE)",
        }
    }
}
