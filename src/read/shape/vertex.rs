//! Owns rows of Vertex AI's request-response logging: told, so that a table of them isn't taken for another log. They are
//! calls of another service, on another bill: none is a request.

use super::value::{Fields, Value};
use super::{NotRequest, Read, Shape};

pub const SHAPE: Shape = Shape {
    name: "vertex",
    title: "Vertex AI request-response logs",
    documented: "cloud.google.com/vertex-ai, request-response logging (BigQuery)",
    told_by: "`logging_time`, beside `deployed_model_id` or `api_method`",
    tells,
    fields: Fields { named: &["logging_time", "deployed_model_id", "api_method"], whole: &[] },
    cells: &[],
    mapped: &[],
    lacks: &[],
    merges: false,
    read: Read::Items(|_, items| items.not_request(NotRequest::OtherService)),
};

fn tells(item: &Value<'_>) -> bool {
    item.has("logging_time") && (item.has("deployed_model_id") || item.has("api_method"))
}
