//! What somebody might do to the schema of `message.created`.

use serde_json::{Value, json};

/// A change of a schema.
pub(crate) struct Change {
    pub(crate) name: &'static str,
    make: fn(&mut Value),
    /// What the reason says that is given against it; empty for what nobody minds.
    pub(crate) says: &'static str,
}

impl Change {
    pub(crate) fn of(&self, schema: &Value) -> Value {
        let mut changed = schema.clone();
        (self.make)(&mut changed);
        assert_ne!(&changed, schema, "{} changes nothing", self.name);
        changed
    }
}

/// After these, old records cannot be read.
pub(crate) const BREAKING: &[Change] = &[
    Change {
        name: "a new field that must be there",
        make: |schema| {
            schema["properties"]["language"] = json!({"type": "string"});
            schema["required"].as_array_mut().unwrap().push(json!("language"));
        },
        says: "must now have \"language\"",
    },
    Change {
        name: "a field that is gone",
        make: |schema| {
            schema["properties"].as_object_mut().unwrap().remove("mentions");
            schema["required"].as_array_mut().unwrap().retain(|name| name != "mentions");
        },
        says: "had `mentions`, which is refused now",
    },
    Change {
        name: "a field of another type",
        make: |schema| schema["properties"]["message_id"] = json!({"type": "integer"}),
        says: ".message_id was of type",
    },
    Change {
        name: "a field that may no longer be null",
        make: |schema| schema["properties"]["content"]["type"] = json!("string"),
        says: ".content was of type",
    },
    Change {
        name: "a choice less",
        make: |schema| schema["properties"]["kind"]["enum"] = json!(["text", "file"]),
        says: ".kind could be \"template\"",
    },
    Change {
        name: "choices where anything went",
        make: |schema| schema["properties"]["sender_id"]["enum"] = json!(["alice"]),
        says: ".sender_id could be anything",
    },
    Change {
        name: "another version under the same name",
        make: |schema| schema["properties"]["version"]["const"] = json!(2),
        says: ".version could be 1",
    },
    Change {
        name: "a shorter text",
        make: |schema| schema["properties"]["sender_id"]["maxLength"] = json!(8),
        says: ".sender_id is narrowed by maxLength",
    },
    Change {
        name: "items of another type",
        make: |schema| schema["properties"]["file_ids"]["items"] = json!({"type": "integer"}),
        says: ".file_ids[] was of type",
    },
];

/// After these too, but Apicurio 3.3.3 lets them through.
pub(crate) const OVERLOOKED: &[Change] = &[Change {
    name: "a number that becomes a text",
    make: |schema| schema["properties"]["timestamp"] = json!({"type": "string"}),
    says: ".timestamp was of type",
}];

/// After these, everything can be read.
pub(crate) const HARMLESS: &[Change] = &[
    Change {
        name: "a new field that may be left out",
        make: |schema| schema["properties"]["language"] = json!({"type": "string"}),
        says: "",
    },
    Change {
        name: "a choice more",
        make: |schema| schema["properties"]["kind"]["enum"].as_array_mut().unwrap().push(json!("poll")),
        says: "",
    },
    Change {
        name: "a field that may be left out from now on",
        make: |schema| schema["required"].as_array_mut().unwrap().retain(|name| name != "mentions"),
        says: "",
    },
    Change {
        name: "other words",
        make: |schema| schema["properties"]["seq"]["description"] = json!("Where it stands."),
        says: "",
    },
];
