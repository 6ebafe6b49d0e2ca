//! Whether a new schema can read what an old one wrote, as registries understand BACKWARD.

use crate::changes::{BREAKING, HARMLESS, OVERLOOKED};
use chat4all_server::public_topics::schemas;
use serde_json::{Map, Value};

/// What says nothing about values.
const REMARKS: [&str; 6] = ["$schema", "$id", "title", "description", "default", "examples"];
/// What is judged by rules of its own.
const JUDGED: [&str; 7] =
    ["type", "enum", "const", "properties", "required", "additionalProperties", "items"];
/// A lower one lets more through.
const LOWER_BOUNDS: [&str; 4] = ["minimum", "minLength", "minItems", "minProperties"];
/// A higher one lets more through.
const UPPER_BOUNDS: [&str; 4] = ["maximum", "maxLength", "maxItems", "maxProperties"];

/// Why it cannot, a sentence each; nothing if it can.
pub(crate) fn breaks(old: &Value, new: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare("", old, new, &mut found);
    found
}

fn compare(path: &str, old: &Value, new: &Value, found: &mut Vec<String>) {
    let at = if path.is_empty() { "the record" } else { path };
    compare_values(at, old, new, found);
    compare_objects(path, at, old, new, found);
    match (&old["items"], &new["items"]) {
        (_, Value::Null) => {}
        (Value::Null, _) => found.push(format!("{at} now says what its items are")),
        (old, new) => compare(&format!("{path}[]"), old, new, found),
    }
    let none = Map::new();
    for (keyword, new) in new.as_object().unwrap_or(&none) {
        let (name, old) = (keyword.as_str(), &old[keyword]);
        if REMARKS.contains(&name) || JUDGED.contains(&name) || old == new {
            continue;
        }
        let lower = LOWER_BOUNDS.contains(&name) && old.as_f64() >= new.as_f64();
        let higher = UPPER_BOUNDS.contains(&name) && old.is_number() && old.as_f64() <= new.as_f64();
        if !lower && !higher {
            found.push(format!("{at} is narrowed by {name} {new}"));
        }
    }
}

fn compare_values(at: &str, old: &Value, new: &Value, found: &mut Vec<String>) {
    let (before, now) = (types(old), types(new));
    let wider = |kind: &str| kind == "integer" && now.contains(&"number");
    if !now.is_empty() && (before.is_empty() || before.iter().any(|kind| !now.contains(kind) && !wider(kind)))
    {
        found.push(format!("{at} was of type {before:?} and is now {now:?}"));
    }
    if let Some(now) = choices(new) {
        match choices(old) {
            None => found.push(format!("{at} could be anything and is now one of {now:?}")),
            Some(before) => found.extend(
                before
                    .iter()
                    .filter(|value| !now.contains(value))
                    .map(|value| format!("{at} could be {value}")),
            ),
        }
    }
}

fn compare_objects(path: &str, at: &str, old: &Value, new: &Value, found: &mut Vec<String>) {
    let none = Map::new();
    let properties = |schema: &'_ Value| schema["properties"].as_object().cloned().unwrap_or_default();
    let is_open = |schema: &Value| schema["additionalProperties"] != false;
    let (before, now) = (properties(old), properties(new));
    if is_open(old) && !is_open(new) {
        found.push(format!("{at} could hold other fields and no longer can"));
    }
    for (name, old) in &before {
        match now.get(name) {
            Some(new) => compare(&format!("{path}.{name}"), old, new, found),
            None if is_open(new) => {}
            None => found.push(format!("{at} had `{name}`, which is refused now")),
        }
    }
    for name in now.keys().filter(|name| !before.contains_key(*name) && is_open(old)) {
        found.push(format!("{at} is open: `{name}` may have been there with another meaning"));
    }
    let required = |schema: &Value| schema["required"].as_array().cloned().unwrap_or_default();
    let before = required(old);
    for name in required(new).iter().filter(|name| !before.contains(name)) {
        found.push(format!("{at} must now have {name}, which old records lack"));
    }
    if let (Some(old), Some(new)) =
        (old["additionalProperties"].as_object(), new["additionalProperties"].as_object())
        && (old, new) != (&none, &none)
    {
        compare(&format!("{path}.*"), &old.clone().into(), &new.clone().into(), found);
    }
}

fn types(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn choices(schema: &Value) -> Option<Vec<&Value>> {
    match (&schema["enum"], &schema["const"]) {
        (Value::Array(values), _) => Some(values.iter().collect()),
        (_, Value::Null) => None,
        (_, value) => Some(vec![value]),
    }
}

fn created() -> Value {
    schemas().into_iter().find(|(name, _)| name == "message.created.v1").unwrap().1
}

pub(crate) fn what_breaks_readers_is_named() {
    let old = created();
    for change in BREAKING.iter().chain(OVERLOOKED) {
        let found = breaks(&old, &change.of(&old));
        assert!(
            found.iter().any(|sentence| sentence.contains(change.says)),
            "{}: {found:?} does not say `{}`",
            change.name,
            change.says
        );
    }
}

pub(crate) fn what_does_not_is_let_through() {
    let old = created();
    assert_eq!(breaks(&old, &old), Vec::<String>::new());
    for change in HARMLESS {
        assert_eq!(breaks(&old, &change.of(&old)), Vec::<String>::new(), "{}", change.name);
    }
}
