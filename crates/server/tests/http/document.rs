//! `schema/openapi.json`: not stale, and true.

use crate::support::{Call, TestApp};
use axum::http::Method;
use chat4all_server::http::openapi;
use serde_json::Value;
use std::path::Path;

#[test]
fn the_committed_document_is_the_one_that_the_code_makes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schema/openapi.json");
    let made = serde_json::to_string_pretty(&openapi::document()).unwrap() + "\n";
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &made).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(made == committed, "schema/openapi.json is stale: run this test with UPDATE_SCHEMA=1");
}

/// Every operation of the document: method, path, operation.
pub(crate) fn operations() -> Vec<(Method, String, Value)> {
    let document = openapi::document();
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            all.push((method.to_uppercase().parse().unwrap(), path.clone(), operation.clone()));
        }
    }
    all
}

#[test]
fn every_reference_leads_somewhere_and_every_operation_has_its_own_name() {
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    match value.as_str() {
                        Some(to) if key == "$ref" => found.push(to.to_owned()),
                        _ => references(value, found),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let document = openapi::document();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 100, "{}", found.len());
    for to in found {
        assert!(document.pointer(&to[1..]).is_some(), "{to}");
    }
    let mut names: Vec<String> =
        operations().iter().map(|(.., o)| o["operationId"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), operations().len());
}

#[test]
fn bodies_refuse_unknown_fields_and_optional_parameters_are_never_null() {
    let document = openapi::document();
    for (method, path, operation) in operations() {
        let body = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
        if let Some(body) = body.as_str() {
            let schema = document.pointer(&body[1..]).unwrap();
            assert_eq!(schema["additionalProperties"], false, "{method} {path}: {body}");
        } else {
            assert!(operation["requestBody"].is_null(), "{method} {path}: a body without a name");
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            assert!(parameter["schema"]["type"].is_string(), "{method} {path}: {parameter}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_documented_path_is_routed_and_knows_its_methods() {
    let app = TestApp::start().await;
    for (method, path, _) in operations() {
        let part = |part: &str| if part.starts_with('{') { "x".to_owned() } else { part.to_owned() };
        let filled = path.split('/').map(part).collect::<Vec<_>>().join("/");
        let reply = app.call(Call::new(method.clone(), &filled)).await;
        let lost = reply.status == 404 && reply.text("detail") == "there is no such path";
        assert!(!lost && reply.status != 405, "{method} {path}: {reply:?}");
        let unknown = app.call(Call::new(Method::TRACE, &filled)).await;
        assert_eq!((unknown.status.as_u16(), unknown.code().as_str()), (405, "method_not_allowed"), "{path}");
        assert!(unknown.header("allow").is_some_and(|allowed| allowed.contains(method.as_str())), "{path}");
    }
    app.stop().await;
}
