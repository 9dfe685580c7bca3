//! Owns lines at fault: one for each way in which a line of an export may be refused. Good lines are for `record`.

use super::projects::Project;
use super::random::Random;
use crate::types::reason::Reason;

/// Why a line is refused, and the line. `<head>` stands for its id, time and project, `<id>` for an id that no other
/// line has, `<time>` for a time, `<project>` for a project.
const FAULTS: &[(Reason, &str)] = &[
    (
        Reason::MalformedJson,
        r#"{<head>,"model":"gemini-2.5-flash","status":200,"usageMetadata":{"promptTokenCount":1"#,
    ),
    (
        Reason::MalformedJson,
        r#"{<head>,"model":"gemini-2.5-flash","status":200,"latency_ms":NaN,"usageMetadata":{"promptTokenCount":12}}"#,
    ),
    (Reason::MalformedJson, "Error: could not read the next page"),
    (Reason::NotAnObject, r#"["<id>","<time>","<project>",200]"#),
    (
        Reason::DuplicateKey,
        r#"{<head>,"status":200,"model":"gemini-2.5-flash","status":429,"usageMetadata":{"promptTokenCount":12}}"#,
    ),
    (
        Reason::MissingField,
        r#"{"request_id":"<id>","timestamp":"<time>","model":"gemini-2.5-flash","status":429}"#,
    ),
    (
        Reason::MissingField,
        r#"{"request_id":"<id>","project_id":"<project>","model":"gemini-2.5-flash","status":429}"#,
    ),
    (Reason::WrongType, r#"{<head>,"model":["gemini-2.5-flash"],"status":429}"#),
    (
        Reason::BadTimestamp,
        r#"{"request_id":"<id>","timestamp":"02/06/2026 12:00","project_id":"<project>","model":"gemini-2.5-flash","status":429}"#,
    ),
    (Reason::BadStatus, r#"{<head>,"model":"gemini-2.5-flash","status":302}"#),
    (Reason::UnknownMethod, r#"{<head>,"method":"generateTent","model":"gemini-2.5-flash","status":429}"#),
    (Reason::BadUsageTier, r#"{<head>,"model":"gemini-2.5-flash","status":429,"usage_tier":"tier 1"}"#),
    (Reason::BadChannel, r#"{<head>,"channel":"console","model":"gemini-2.5-flash","status":429}"#),
    (
        Reason::UnknownServiceTier,
        r#"{<head>,"model":"gemini-2.5-flash","status":200,"usageMetadata":{"promptTokenCount":12,"serviceTier":"express"}}"#,
    ),
    (Reason::MissingUsage, r#"{<head>,"model":"gemini-2.5-flash","status":200}"#),
    (
        Reason::BadCount,
        r#"{<head>,"model":"gemini-2.5-flash","status":200,"usageMetadata":{"promptTokenCount":-12}}"#,
    ),
    (
        Reason::UnknownModality,
        r#"{<head>,"model":"gemini-2.5-flash","status":200,"usageMetadata":{"promptTokenCount":12,"promptTokensDetails":[{"modality":"SMELL","tokenCount":12}]}}"#,
    ),
    (
        Reason::UnknownMeter,
        r#"{<head>,"model":"gemini-2.5-flash","status":200,"usageMetadata":{"promptTokenCount":12},"quantities":{"hologram":1}}"#,
    ),
    (
        Reason::InconsistentCounts,
        r#"{<head>,"model":"gemini-2.5-flash","status":200,"usageMetadata":{"promptTokenCount":12,"cachedContentTokenCount":40}}"#,
    ),
];

const HEAD: &str = r#""request_id":"<id>","timestamp":"<time>","project_id":"<project>""#;

/// Appends a line at fault, with a time in milliseconds since 1970.
pub fn write(project: &Project, at: i64, random: &mut Random, out: &mut Vec<u8>) {
    let (_, line) = random.pick(FAULTS);
    out.extend_from_slice(filled(line, project, at, random.bits()).as_bytes());
    out.push(b'\n');
}

fn filled(line: &str, project: &Project, at: i64, id: u64) -> String {
    let time = jiff::Timestamp::from_millisecond(at).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    line.replace("<head>", HEAD)
        .replace("<id>", &format!("faulty-{id:016x}"))
        .replace("<time>", &time.to_string())
        .replace("<project>", &project.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::books::{Books, Sources};
    use crate::generate::Settings;
    use crate::generate::projects::projects;
    use crate::read::shape::canonical::{Decoded, Decoder};

    #[test]
    fn every_line_is_refused_for_its_reason() {
        let books = Books::load(&Sources::default()).unwrap();
        let defaults = crate::read::settings::Defaults::default();
        let decoder = Decoder::new(&books.methods, &defaults);
        let project = &projects(&Settings::default())[0];
        for (place, (reason, line)) in FAULTS.iter().enumerate() {
            let line = filled(line, project, 1_780_358_401_043, place as u64);
            let found = match decoder.decode(line.as_bytes()) {
                Decoded::Refused(refusal) => Some(refusal.reason),
                // Whether usage is missing is known only when all lines of the identity were seen.
                Decoded::Request(request) if request.usage_missing => Some(Reason::MissingUsage),
                _ => None,
            };
            assert_eq!(found, Some(*reason), "{line}");
        }
    }

    #[test]
    fn every_reason_that_a_line_can_have_is_there() {
        let of_files =
            [Reason::UnknownShape, Reason::OtherShape, Reason::TruncatedInput, Reason::LineTooLong];
        let of_lines = Reason::ALL
            .iter()
            .filter(|reason| reason.stage() == crate::types::reason::Stage::Read)
            .filter(|reason| !of_files.contains(reason));
        for reason in of_lines {
            assert!(FAULTS.iter().any(|(own, _)| own == reason), "{reason}");
        }
    }
}
