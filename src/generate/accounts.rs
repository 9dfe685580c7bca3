//! Owns the text of the accounts file that belongs to a log: what the log doesn't say of its projects.

use std::fmt::Write;

use super::Settings;
use super::models::TUNED_BASE;
use super::projects::Project;

/// How many projects a billing account pays for.
const PROJECTS_OF_ACCOUNT: usize = 4;

pub fn text(settings: &Settings, projects: &[Project]) -> String {
    let mut text = String::from(
        "# The accounts file of a synthetic log. Made by rerate gen: the same arguments make the same file.\n\n\
         # Of projects without a timeline below; the last one has none, where there are several.\n",
    );
    let mut line = |words: std::fmt::Arguments<'_>| {
        // Writing to a string can't fail.
        let _ = writeln!(text, "{words}");
    };
    let timelines = &projects[..projects.len().max(2) - 1];
    let rest = projects.last().map_or("tier1", |project| project.usage_tier.name());
    line(format_args!("default_usage_tier = \"{rest}\""));
    let long_before = settings.from - jiff::Span::new().days(400);
    for account in 0..projects.len().div_ceil(PROJECTS_OF_ACCOUNT) {
        let name = account_name(account);
        line(format_args!("\n[[billing_accounts]]\nid = \"{name}\""));
        // Every other account is new, and qualifies for another usage tier while the log goes on.
        if account % 2 == 0 {
            let lately = settings.from - jiff::Span::new().days(2);
            line(format_args!(
                "first_payment = {lately}\nspent_before = \"99.00\"\nmonthly_cap_usd = \"50.00\""
            ));
        } else {
            line(format_args!("first_payment = {long_before}\nspent_before = \"1240.50\""));
        }
        let (from, until) = (settings.from, settings.from + jiff::Span::new().days(90));
        line(format_args!("[[billing_accounts.credits]]\nname = \"welcome\"\nusd = \"5.00\""));
        line(format_args!(
            "[[billing_accounts.credits]]\nname = \"start-up\"\nusd = \"15.00\"\nfrom = {from}\nuntil = {until}"
        ));
    }
    for (place, project) in projects.iter().enumerate() {
        let account = account_name(place / PROJECTS_OF_ACCOUNT);
        line(format_args!("\n[[projects]]\nid = \"{}\"\nbilling_account = \"{account}\"", project.id));
        if place >= timelines.len() {
            continue;
        }
        let first = Some((format!("{long_before}T00:00:00Z"), project.usage_tier));
        let change = project.change.map(|(at, usage_tier)| {
            let at = jiff::Timestamp::from_second(at).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
            (at.to_string(), usage_tier)
        });
        for (from, usage_tier) in first.into_iter().chain(change) {
            line(format_args!("[[projects.usage_tiers]]\nusage_tier = \"{usage_tier}\"\nfrom = {from}"));
        }
        if place % 10 == 4 {
            line(format_args!(
                "[[projects.limits]]\nmodel = \"{TUNED_BASE}\"\nmetric = \"rpm\"\nvalue = 5000\nfrom = {long_before}"
            ));
        }
    }
    for tuned in projects.iter().filter(|project| !project.names_base) {
        if let Some(model) = &tuned.tuned_model {
            line(format_args!("\n[[tuned_models]]\nmodel = \"{model}\"\nbase = \"{TUNED_BASE}\""));
        }
    }
    text
}

fn account_name(account: usize) -> String {
    format!("acct-{:03}", account + 1)
}
