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
        UnknownShape = "unknown_shape",
        OtherShape = "other_shape",
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
        UnknownCache = "unknown_cache",
    }
}

impl Reason {
    pub fn stage(self) -> Stage {
        if self < Reason::UnexplainedTokens { Stage::Read } else { Stage::Charge }
    }

    /// What a person can do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Reason::UnknownShape => {
                "say what it is with --shape (and --container) or --map (rerate check proposes one), or take the file out"
            }
            Reason::OtherShape => "keep lines of different shapes in different files",
            Reason::TruncatedInput => "export or copy the file again: it is cut short or damaged",
            Reason::LineTooLong => "raise --max-line if the line is a request",
            Reason::MalformedJson => "mend the export: each line is one whole JSON object, in UTF-8",
            Reason::NotAnObject => "mend the export: each line is one JSON object",
            Reason::DuplicateKey => "mend the export: a field stands twice with no telling which counts",
            Reason::MissingField => {
                "add the field, or give what the log lacks: --at (its time), --project, --model"
            }
            Reason::WrongType => "mend the export: the README's record shows the type of each field",
            Reason::BadTimestamp => "give --time-zone where times have no offset, else mend the export",
            Reason::BadStatus => "mend the export: log the HTTP or gRPC code, or failed where it isn't known",
            Reason::UnknownMethod => "add the method to a methods book (--methods FILE)",
            Reason::BadUsageTier => {
                "mend the export, or leave the field out: --accounts or --usage-tier says it too"
            }
            Reason::BadChannel => "mend the export, or leave the field out where it is api",
            Reason::UnknownServiceTier => "mend the export: log the service tier that served the request",
            Reason::MissingUsage => {
                "mend the export: log usageMetadata (or quantities) of requests that went well"
            }
            Reason::BadCount => "mend the export: log the API's own usageMetadata",
            Reason::UnknownModality => "mend the export: log the API's own usageMetadata",
            Reason::UnknownMeter => "mend the export: the README has the names that quantities may have",
            Reason::InconsistentCounts => "mend the export: a part exceeds its whole",
            Reason::UnexplainedTokens => {
                "mend the export: log all parts of usageMetadata, or ask the gateway what it left out"
            }
            Reason::UnknownUsageTier => "give --usage-tier, or an accounts file (rerate accounts LOGS)",
            Reason::UnknownBaseModel => "name the tuned model's base in the accounts file",
            Reason::UnknownModel => {
                "add the model to a price book (--prices FILE) or an alias (--aliases FILE)"
            }
            Reason::UnknownPrice => "add the price to a price book (--prices FILE)",
            Reason::UnknownCache => "replay the days before as well: its creation is in no log that was read",
        }
    }
}
