//! The report for a terminal.

use std::fmt::Write;

use serde_json::Value;

use super::span::span;

/// The width of a bar, in characters.
const BAR: usize = 24;

/// The summary of a report, in lines.
pub(super) fn summary(report: &Value, url: &str) -> String {
    let (claude, hour) = (&report["claude"], &report["last_hour"]);
    let mut out = String::new();
    let mut facts = vec![text(&report["state"]).to_owned(), format!("{} mode", text(&report["server"]["mode"]))];
    if let Some(version) = claude["claude_code_version"].as_str() {
        facts.push(format!("Claude Code {version}"));
    }
    facts.push(format!("up {}", span(count(&report["uptime_seconds"]))));
    line(&mut out, format_args!("claude-max-api {} at {url}", text(&report["server"]["version"])));
    line(&mut out, format_args!("{}\n", facts.join(" · ")));
    for notice in items(&report["notices"]) {
        line(&mut out, format_args!("{} {}", if notice["bad"] == true { "!!" } else { " !" }, text(&notice["text"])));
    }
    if items(&report["notices"]).next().is_some() {
        out.push('\n');
    }

    let (requests, failed, cancelled) = (count(&hour["requests"]), count(&hour["failed"]), count(&hour["cancelled"]));
    line(&mut out, format_args!("Requests     {requests} in the last hour; {failed} failed, {cancelled} cancelled"));
    if let (Some(p50), Some(p95)) = (hour["first_token_ms"]["p50"].as_u64(), hour["first_token_ms"]["p95"].as_u64()) {
        line(&mut out, format_args!("First token  {p50} ms in the median, 95% within {p95} ms"));
    }
    let (input, output) = (count(&hour["input_tokens"]), count(&hour["output_tokens"]));
    if let Some(share) = hour["cache_share"].as_f64() {
        let share = (share * 100.0).round();
        line(&mut out, format_args!("Tokens       {input} in, {share}% of them from the cache; {output} out"));
    }
    let (processes, queue) = (&claude["processes"], &claude["queue"]);
    let states = ["busy", "live", "parked", "warm"].map(|state| format!("{} {state}", count(&processes[state])));
    let (total, max) = (count(&processes["total"]), count(&processes["max"]));
    line(&mut out, format_args!("Processes    {}; {total} of {max} places taken", states.join(", ")));
    line(&mut out, format_args!("             {}", so_far(claude)));
    if let Some(held) = claude["memory"]["held_bytes"].as_u64() {
        line(&mut out, format_args!("Memory       {} MiB", held.div_ceil(1024 * 1024)));
    }
    line(&mut out, format_args!("Queue        {} of {}", count(&queue["length"]), count(&queue["max"])));

    let now = report["now"].as_f64().unwrap_or(0.0);
    section(
        &mut out,
        "Plan",
        items(&report["plan"]["windows"]).map(|window| {
            let used = window["used"].as_f64();
            let bar = "█".repeat((used.unwrap_or(0.0).clamp(0.0, 1.0) * BAR as f64).round() as usize);
            let percent = used.map_or_else(|| "?".to_owned(), |used| format!("{}%", (used * 100.0).round()));
            let used_up = if window["level"] == "used_up" { "used up, " } else { "" };
            format!("{:<14} {bar:░<BAR$} {percent:>4}  {used_up}{}", text(&window["name"]), text(&window["words"]))
        }),
    );
    if let Some(words) = report["plan"]["overage"].as_str() {
        line(&mut out, format_args!("  {words}"));
    }
    section(
        &mut out,
        "Conversations",
        items(&claude["conversations"]).map(|held| {
            let who = held["key"].as_str().map(|key| format!(", of {key}")).unwrap_or_default();
            format!(
                "{:<7} {:<24} {:<17} {:>4} answers, {:>8} tokens, held for {}, silent for {}{who}",
                text(&held["state"]),
                text(&held["model"]),
                held["door"].as_str().unwrap_or("-"),
                count(&held["turns"]),
                count(&held["tokens"]),
                span(count(&held["age_seconds"])),
                span(count(&held["silent_seconds"])),
            )
        }),
    );
    section(
        &mut out,
        "Failures in the last hour",
        items(&hour["errors"]).map(|error| {
            let ago = (now - error["last_at"].as_f64().unwrap_or(now)).max(0.0);
            format!(
                "{}× {} {}, {} ago. {}",
                count(&error["count"]),
                count(&error["status"]),
                text(&error["code"]),
                span(ago as u64),
                text(&error["advice"]),
            )
        }),
    );
    out
}

/// What has happened to processes and conversations since the server started.
fn so_far(claude: &Value) -> String {
    let (events, requests) = (&claude["events"], &claude["requests"]);
    let mut facts = vec![format!("{} started so far", count(&events["starts"]))];
    if let crashed @ 1.. = count(&events["ends"]["crashed"]) {
        facts.push(format!("{crashed} crashed"));
    }
    let [live, warm, cold] = ["live", "warm", "cold"].map(|origin| count(&requests[origin]));
    if live > 0 {
        let share = live as f64 / (live + warm + cold) as f64;
        facts.push(format!("{}% of turns found theirs live", (share * 100.0).round()));
    }
    if let replayed @ 1.. = events["replays"].as_object().map_or(0, |replays| replays.values().map(count).sum()) {
        facts.push(format!("{replayed} replayed"));
    }
    facts.join(", ")
}

fn section(out: &mut String, heading: &str, lines: impl Iterator<Item = String>) {
    let mut lines = lines.peekable();
    if lines.peek().is_some() {
        line(out, format_args!("\n{heading}"));
        lines.for_each(|text| line(out, format_args!("  {text}")));
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{text}");
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}
