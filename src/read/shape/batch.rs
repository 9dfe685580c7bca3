//! Owns what a batch job gives: a file of lines with the user's key and a raw response or error each, or the job itself
//! with its inlined responses. They lack the time, what was asked for and, of errors, the model. Responses are `raw`'s.

use super::cloud_logging::set_grpc_status;
use super::record::Record;
use super::value::Value;
use super::{Items, Lack, Mapped, NotRequest, Read, Shape, raw};

pub const SHAPE: Shape = Shape {
    name: "batch",
    title: "output of batch jobs",
    documented: "ai.google.dev/gemini-api/docs/batch-api, ai.google.dev/api/batch-api",
    told_by: "a `key` beside a `response`, an `error` or a `status`; or `inlinedResponses`",
    tells,
    fields: raw::SHAPE.fields,
    cells: &["response", "error", "status", "dest"],
    mapped: &[
        Mapped { from: "response.responseId", to: "request_id", note: "errors have none" },
        Mapped { from: "response.modelVersion", to: "model", note: "else the `model` of the job" },
        Mapped {
            from: "error.code",
            to: "status",
            note: "below 100 a gRPC code, else HTTP; 200 of a response; also of a `status` in the place of `error`",
        },
        Mapped { from: "error.details.violations", to: "evidence", note: "of a 429, as of raw responses" },
        Mapped { from: "response.usageMetadata", to: "usageMetadata", note: "" },
        Mapped {
            from: "response.usageMetadata.serviceTier",
            to: "service_tier",
            note: "is not looked at: it says STANDARD, and this shape is batch",
        },
        Mapped {
            from: "response",
            to: "method",
            note: "`batchGenerateContent`; with an embedding `asyncBatchEmbedContent`",
        },
        Mapped {
            from: "response.candidates",
            to: "quantities",
            note: "searches and Maps, as of raw responses; so the tools",
        },
    ],
    lacks: &[
        Lack { what: "time", instead: Some("--at"), so: "prices are those of that day" },
        Lack { what: "project", instead: Some("--project"), so: "projects can't be told apart" },
        Lack { what: "the model of errors", instead: Some("--model"), so: "they are suspended" },
        Lack { what: "ids of errors", instead: None, so: "an error that is given twice counts twice" },
        Lack {
            what: "requests of a job that was cancelled or expired",
            instead: None,
            so: "charges are a lower bound",
        },
    ],
    merges: false,
    read: Read::Items(read),
};

pub fn tells(item: &Value<'_>) -> bool {
    let whole = |key: &str| item.get(key).is_object();
    item.has("key") && (whole("response") || whole("error") || whole("status"))
        || ["dest", "response"]
            .iter()
            .any(|key| !item.get(key).first_of(&["inlinedResponses", "inlined_responses"]).is_missing())
}

fn read(item: &Value<'_>, items: &mut Items) {
    let inlined = [
        item.at(&["dest", "inlinedResponses"]),
        item.at(&["response", "inlinedResponses"]),
        // As the REST API has it.
        item.at(&["response", "inlinedResponses", "inlinedResponses"]),
        item.at(&["dest", "inlinedResponses", "inlinedResponses"]),
    ];
    if inlined.iter().all(|list| list.is_missing()) {
        return items.request(of_line(item, &Value::Null));
    }
    for line in inlined.iter().flat_map(|list| list.items()) {
        let is_line = ["response", "error", "status"].iter().any(|key| line.get(key).is_object());
        match is_line {
            true => items.request(of_line(line, item.get("model"))),
            false => items.not_request(NotRequest::Event),
        }
    }
}

fn of_line(line: &Value<'_>, model_of_job: &Value<'_>) -> Record {
    let response = line.get("response");
    let error = ["error", "status"].iter().map(|key| line.get(key)).find(|value| value.is_object());
    let mut record = match error {
        Some(error) if !response.is_object() => {
            let mut record = raw::of_chunk(line);
            match error.first_of(&["code", "status"]) {
                code if code.is_missing() => record.set_text("status", "failed"),
                code => set_grpc_status(&mut record, code),
            }
            record
        }
        _ => raw::of_chunk(response),
    };
    if !record.has("model") {
        record.set_model("model", model_of_job);
    }
    let embeds = response.has("embedding") || response.has("embeddings");
    record.set_text("method", if embeds { "asyncBatchEmbedContent" } else { "batchGenerateContent" });
    record.set_text("service_tier", "batch");
    record
}
