//! A real registry, where there is one: it must judge as we do.

use crate::changes::{BREAKING, HARMLESS};
use chat4all_backend::ErrorKind;
use chat4all_server::public_topics::{SchemaRegistry, schemas};
use libtest_mimic::{Failed, Trial};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

const VARIABLE: &str = "CHAT4ALL_TEST_REGISTRY_URL";

pub(crate) fn trials() -> Vec<Trial> {
    let url = std::env::var(VARIABLE).ok();
    if url.is_none() {
        eprintln!("the schema registry is not there: {VARIABLE} is not set");
    }
    let trial = |name: &str, run: fn(Subject) -> Result<(), Failed>| {
        let at = url.clone();
        Trial::test(format!("registry::{name}"), move || run(Subject::new(&at.unwrap_or_default())?))
            .with_ignored_flag(url.is_none())
    };
    vec![
        trial("the_same_schema_has_one_id", the_same_schema_has_one_id),
        trial("what_breaks_readers_is_refused", what_breaks_readers_is_refused),
        trial("what_does_not_is_accepted", what_does_not_is_accepted),
        trial("every_schema_is_taken", every_schema_is_taken),
    ]
}

/// A subject that only one test knows.
struct Subject {
    name: String,
    registry: SchemaRegistry,
    url: String,
    runtime: tokio::runtime::Runtime,
}

impl Subject {
    fn new(url: &str) -> Result<Self, Failed> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
        Ok(Self {
            name: format!("test-{}-{now}-value", std::process::id()),
            registry: SchemaRegistry::open(url)?,
            url: url.trim_end_matches('/').to_owned(),
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
        })
    }

    fn register(&self, schema: &Value) -> chat4all_backend::Result<u32> {
        self.runtime.block_on(self.registry.register(&self.name, schema))
    }

    /// What the registry says of a change of what was registered last.
    fn accepts(&self, schema: &Value) -> Result<bool, Failed> {
        let path = format!("compatibility/subjects/{}/versions/latest", self.name);
        let body = json!({"schemaType": "JSON", "schema": schema.to_string()});
        let answer = self.ask(Method::POST, &path, &body)?;
        answer["is_compatible"].as_bool().ok_or_else(|| format!("{answer}").into())
    }

    fn ask(&self, method: Method, path: &str, body: &Value) -> Result<Value, Failed> {
        self.runtime.block_on(async {
            let request = Client::new().request(method, format!("{}/{path}", self.url)).json(body);
            Ok(request.send().await?.error_for_status()?.json().await?)
        })
    }
}

impl Drop for Subject {
    /// What is left behind harms nobody.
    fn drop(&mut self) {
        let _left = self.ask(Method::DELETE, &format!("subjects/{}", self.name), &Value::Null);
    }
}

fn created() -> Value {
    schemas().into_iter().find(|(name, _)| name == "message.created.v1").unwrap().1
}

fn the_same_schema_has_one_id(subject: Subject) -> Result<(), Failed> {
    let first = subject.register(&created())?;
    assert_eq!(subject.register(&created())?, first);
    let widened = HARMLESS[0].of(&created());
    let second = subject.register(&widened)?;
    assert_ne!(second, first);
    // As a program of before does that still runs during an upgrade.
    assert_eq!(subject.register(&created())?, first);
    let kept = subject.ask(Method::GET, &format!("schemas/ids/{second}"), &Value::Null)?;
    assert_eq!(serde_json::from_str::<Value>(kept["schema"].as_str().unwrap())?, widened);
    Ok(())
}

fn what_breaks_readers_is_refused(subject: Subject) -> Result<(), Failed> {
    subject.register(&created())?;
    for change in BREAKING {
        assert!(!subject.accepts(&change.of(&created()))?, "{}", change.name);
    }
    let error = subject.register(&BREAKING[0].of(&created())).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
    assert!(error.to_string().contains(&subject.name), "{error}");
    Ok(())
}

fn what_does_not_is_accepted(subject: Subject) -> Result<(), Failed> {
    subject.register(&created())?;
    assert!(subject.accepts(&created())?);
    for change in HARMLESS {
        assert!(subject.accepts(&change.of(&created()))?, "{}", change.name);
    }
    Ok(())
}

fn every_schema_is_taken(_: Subject) -> Result<(), Failed> {
    for (name, schema) in schemas() {
        let subject = Subject::new(&std::env::var(VARIABLE)?)?;
        subject.register(&schema).map_err(|error| format!("{name}: {error}"))?;
    }
    Ok(())
}
