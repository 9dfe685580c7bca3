//! Owns Cloud Logging entries: audit logs of calls, as Logs Explorer downloads them, `gcloud logging read` prints them and
//! sinks store them. They have no tokens: requests of them count in usage and quota, and cost nothing that is known.

use super::record::Record;
use super::value::{Fields, Value};
use super::{Items, Lack, Mapped, NotRequest, Read, Shape};

pub const SHAPE: Shape = Shape {
    name: "cloud_logging",
    title: "Cloud Logging entries",
    documented: "cloud.google.com/logging (LogEntry), google.cloud.audit.AuditLog",
    told_by: "`insertId` or `logName`, beside `resource` or `protoPayload`",
    tells,
    fields: Fields {
        named: &[
            "insertId",
            "logName",
            "timestamp",
            "resource",
            "labels",
            "project_id",
            "protoPayload",
            "serviceName",
            "methodName",
            "resourceName",
            "status",
            "code",
        ],
        whole: &[],
    },
    cells: &["resource", "protoPayload"],
    mapped: &[
        Mapped { from: "insertId, timestamp, logName", to: "request_id", note: "together" },
        Mapped { from: "timestamp", to: "timestamp", note: "" },
        Mapped { from: "resource.labels.project_id", to: "project_id", note: "" },
        Mapped { from: "protoPayload.resourceName", to: "model", note: "" },
        Mapped { from: "protoPayload.methodName", to: "method", note: "its last part" },
        Mapped {
            from: "protoPayload.status.code",
            to: "status",
            note: "a gRPC code; without one it went well",
        },
        Mapped {
            from: "protoPayload.serviceName",
            to: "service",
            note: "another service's entries are no requests",
        },
    ],
    lacks: &[
        Lack { what: "tokens", instead: None, so: "nothing can be charged, and TPM and TPD are unknown" },
        Lack {
            what: "usage tier",
            instead: Some("--usage-tier, or an accounts file"),
            so: "limits are unknown",
        },
        Lack {
            what: "service tier",
            instead: Some("--service-tier"),
            so: "batch requests count against quota",
        },
        Lack {
            what: "calls, where data access logs are off",
            instead: None,
            so: "requests and quota are a lower bound; they are off unless turned on",
        },
    ],
    merges: false,
    read: Read::Items(read),
};

const SERVICE: &str = "generativelanguage.googleapis.com";
const METHODS: &str = "google.ai.generativelanguage.";

/// google.rpc.Code by number.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

fn tells(item: &Value<'_>) -> bool {
    (item.has("insertId") || item.has("logName")) && (item.has("resource") || item.has("protoPayload"))
}

fn read(entry: &Value<'_>, items: &mut Items) {
    let call = entry.get("protoPayload");
    if !call.has("methodName") {
        return items.not_request(NotRequest::Event);
    }
    let (service, method) = (call.get("serviceName"), call.get("methodName").text().unwrap_or_default());
    if service.text().unwrap_or(SERVICE) != SERVICE || service.is_missing() && !method.starts_with(METHODS) {
        return items.not_request(NotRequest::OtherService);
    }
    let mut record = Record::without_tokens();
    let identity = ["insertId", "timestamp", "logName"].map(|key| entry.get(key).text().unwrap_or_default());
    if entry.has("insertId") {
        record.set_text("request_id", &identity.join(" "));
    }
    record.set("timestamp", entry.get("timestamp"));
    record.set("project_id", entry.at(&["resource", "labels", "project_id"]));
    record.set("model", call.get("resourceName"));
    record.set_text("method", &method_name(method));
    set_grpc_status(&mut record, call.at(&["status", "code"]));
    items.request(record);
}

/// A status by its number in google.rpc.Code; without one it went well.
pub fn set_grpc_status(record: &mut Record, code: &Value<'_>) {
    let name = match code {
        code if code.is_missing() => Some(&CODES[0]),
        code => code.count().and_then(|code| CODES.get(code as usize)),
    };
    match name {
        Some(name) => record.set_text("status", name),
        None => record.set("status", code),
    }
}

/// `google.ai.generativelanguage.v1beta.GenerativeService.GenerateContent` as `generateContent`.
fn method_name(method: &str) -> String {
    let last = method.rsplit('.').next().unwrap_or(method);
    let mut chars = last.chars();
    chars.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(chars).collect()
}
