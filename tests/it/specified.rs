//! What `docs/json.md` says of each message, as a check of what the program writes.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use nightsafe::repo::id::RunId;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

const DOCUMENT: &str = include_str!("../../docs/json.md");

/// The fields of a section, with what the document says of their types.
type Fields = BTreeMap<String, String>;

/// The sections of the document, by their titles without backticks: `summary of backup`, `array of snapshots`.
pub fn sections() -> &'static BTreeMap<String, Fields> {
    static SECTIONS: OnceLock<BTreeMap<String, Fields>> = OnceLock::new();
    SECTIONS.get_or_init(|| {
        let mut sections: BTreeMap<String, Fields> = BTreeMap::new();
        let mut title = String::new();
        for line in DOCUMENT.lines() {
            if let Some(text) = line.strip_prefix("### ") {
                title = text.replace('`', "");
                sections.insert(title.clone(), Fields::new());
            } else if line.starts_with("| `") {
                let cells: Vec<&str> = line.split('|').map(str::trim).collect();
                sections.get_mut(&title).unwrap().insert(cells[1].replace('`', ""), cells[2].to_owned());
            }
        }
        sections
    })
}

/// The section that describes what `arguments` wrote as one line of JSON, or what is wrong with the line.
pub fn section_of(arguments: &[&str], line: &str) -> Result<String, String> {
    let value: Value = serde_json::from_str(line).map_err(|error| format!("{error}: {line}"))?;
    let words: Vec<&str> = arguments.iter().copied().filter(|word| !word.starts_with('-')).take(2).collect();
    let verbs = [words.join(" "), words.first().copied().unwrap_or_default().to_owned()];
    let candidates: Vec<&String> = if value.is_array() {
        sections().keys().filter(|title| verbs.iter().any(|verb| **title == format!("array of {verb}"))).collect()
    } else {
        let kind = value["message_type"].as_str().ok_or_else(|| format!("no message_type: {line}"))?;
        let own = |title: &&String| verbs.iter().any(|verb| title.starts_with(&format!("{kind} of {verb}")));
        let own: Vec<_> = sections().keys().filter(own).collect();
        if own.is_empty() { sections().keys().filter(|title| *title == kind).collect() } else { own }
    };
    let mut wrong = vec![format!("{arguments:?}: {line}")];
    for title in candidates {
        let items = value.as_array().map_or(vec![&value], |items| items.iter().collect());
        let faults: Vec<String> = items.into_iter().flat_map(|item| faults(&sections()[title], item)).collect();
        if faults.is_empty() {
            return Ok(title.clone());
        }
        wrong.push(format!("not as in `{title}`: {}", faults.join("; ")));
    }
    Err(wrong.join("\n"))
}

/// Asserts that all lines are as the document says, and returns the sections that describe them.
pub fn assert_specified(arguments: &[&str], lines: &str) -> BTreeSet<String> {
    lines.lines().map(|line| section_of(arguments, line).unwrap_or_else(|wrong| panic!("{wrong}"))).collect()
}

/// What about an object isn't as its section says.
pub fn faults(fields: &Fields, value: &Value) -> Vec<String> {
    let mut found = BTreeMap::new();
    let mut nothing = BTreeSet::new();
    collect("", value, fields, &mut found, &mut nothing);
    let mut faults = Vec::new();
    for (at, values) in &found {
        match fields.get(at) {
            None => faults.push(format!("`{at}` is not documented")),
            Some(kind) => {
                let wrong = values.iter().filter(|value| !is_of(kind, value));
                faults.extend(wrong.map(|value| format!("`{at}` isn't {kind}: {value}")));
            }
        }
    }
    let inside =
        |field: &str, at: &String| field.strip_prefix(at.as_str()).is_some_and(|rest| rest.starts_with(['.', '[']));
    for field in fields.keys().filter(|field| !found.contains_key(*field)) {
        if !nothing.iter().any(|at| inside(field, at)) {
            faults.push(format!("`{field}` is missing"));
        }
    }
    faults
}

/// The values at the fields of an object, objects inside by `.`, those in arrays by `[].`; and the fields that hold no object: null, or an empty array.
fn collect<'v>(
    at: &str,
    value: &'v Value,
    fields: &Fields,
    found: &mut BTreeMap<String, Vec<&'v Value>>,
    nothing: &mut BTreeSet<String>,
) {
    let has_fields =
        |at: &str| fields.keys().any(|field| field.strip_prefix(at).is_some_and(|rest| rest.starts_with('.')));
    match value {
        Value::Object(members) if at.is_empty() || has_fields(at) => {
            for (key, value) in members {
                let at = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                collect(&at, value, fields, found, nothing);
            }
        }
        Value::Array(items) if has_fields(&format!("{at}[]")) => {
            if items.is_empty() {
                nothing.insert(format!("{at}[]"));
            }
            for item in items {
                collect(&format!("{at}[]"), item, fields, found, nothing);
            }
        }
        Value::Null if has_fields(at) => {
            nothing.insert(at.to_owned());
        }
        _ => found.entry(at.to_owned()).or_default().push(value),
    }
}

fn is_of(kind: &str, value: &Value) -> bool {
    if let Some(kind) = kind.strip_suffix(" or null") {
        return value.is_null() || is_of(kind, value);
    }
    if kind == "array of two ints" {
        return value.as_array().is_some_and(|items| items.len() == 2 && items.iter().all(Value::is_u64));
    }
    if let Some(kind) = kind.strip_prefix("array of ") {
        let kind = if kind == "text" { kind } else { kind.trim_end_matches('s') };
        return value.as_array().is_some_and(|items| items.iter().all(|item| is_of(kind, item)));
    }
    let text = value.as_str();
    match kind {
        "text" => text.is_some(),
        "int" => value.is_u64(),
        "number" => value.is_number(),
        "bool" => value.is_boolean(),
        "object" => value.is_object(),
        "path" => text.is_some_and(|text| !text.is_empty()),
        "id" => text.is_some_and(|text| text.parse::<RunId>().is_ok()),
        "time" => text.is_some_and(|text| text.starts_with('@') || text.ends_with('Z') && text.contains('T')),
        _ => panic!("docs/json.md has a type that nobody knows: {kind}"),
    }
}
