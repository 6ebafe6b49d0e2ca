//! `schema/events/`

use crate::backward::breaks;
use chat4all_server::public_topics::schemas;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../schema/events"))
}

/// A schema is never replaced by one that cannot read what was written with it, not even where that is asked for: such a
/// change is another version, beside the first.
pub(crate) fn are_those_that_the_code_makes() {
    let update = std::env::var_os("UPDATE_SCHEMA").is_some();
    for (name, schema) in schemas() {
        let path = folder().join(format!("{name}.json"));
        let made = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        if let Ok(before) = serde_json::from_str::<Value>(&committed) {
            let broken = breaks(&before, &schema);
            assert!(broken.is_empty(), "{name} no longer reads its old records: {}", broken.join("; "));
        }
        if update {
            std::fs::create_dir_all(folder()).unwrap();
            std::fs::write(&path, &made).unwrap();
        } else {
            assert!(
                made == committed,
                "schema/events/{name}.json is stale: run this test with UPDATE_SCHEMA=1"
            );
        }
    }
    let known: BTreeSet<String> = schemas().into_iter().map(|(name, _)| format!("{name}.json")).collect();
    let files = std::fs::read_dir(folder()).unwrap();
    let found: BTreeSet<String> =
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(found, known, "a schema that was promised is gone, or was never made");
}

pub(crate) fn every_object_is_closed() {
    for (name, schema) in schemas() {
        assert_eq!(schema["additionalProperties"], false, "{name}");
        let properties = schema["properties"].as_object().unwrap();
        assert_eq!(properties["version"]["const"], 1, "{name}");
        let required = schema["required"].as_array().unwrap();
        assert_eq!(required.len(), properties.len(), "{name}: of version 1 every field is there");
    }
}
