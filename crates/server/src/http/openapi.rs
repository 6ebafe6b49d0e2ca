//! `openapi.json`, made from the handlers and the types they take and give.
//!
//! What the types cannot say is added here: limits ([`limits`]), the problems that each operation may answer, and
//! the second paths of some handlers.

mod limits;

use serde_json::{Map, Value, json};

/// Paths whose operations are there under a shorter one too: `(longer beginning, shorter beginning)`.
const ALIASES: [(&str, &str); 2] = [
    ("/v1/conversations/{conversation_id}/messages/{message_id}", "/v1/messages/{message_id}"),
    ("/auth/token", "/auth/login"),
];

/// Every problem: status, name, and when.
const PROBLEMS: [(u16, &str, &str); 14] = [
    (
        400,
        "InvalidRequest",
        "`invalid_request`: not JSON, wrong type, missing or bad field; `errors` names them",
    ),
    (401, "Unauthenticated", "`unauthenticated`, `token_expired`, `invalid_credentials`, `refresh_reused`"),
    (403, "Forbidden", "`forbidden`: allowed to see it, not to do it"),
    (404, "NotFound", "`not_found`: not there, or not for this caller's eyes"),
    (405, "MethodNotAllowed", "`method_not_allowed`"),
    (409, "Conflict", "`conflict`, `username_taken`, `email_taken`, `limit_reached`"),
    (410, "CursorExpired", "`cursor_expired`: take a snapshot"),
    (413, "TooLarge", "`too_large`"),
    (415, "UnsupportedMediaType", "`unsupported_media_type`"),
    (422, "IdempotencyKeyReused", "`idempotency_key_reused`: same key, other content"),
    (429, "RateLimited", "`rate_limited`: wait as long as `Retry-After` says"),
    (500, "Internal", "`internal`: a fault of ours; report the `request_id`"),
    (503, "Unavailable", "`overloaded`, `unavailable`: surely nothing was accepted"),
    (504, "OutcomeUnknown", "`outcome_unknown`: retry with the same key"),
];

/// The document.
#[must_use]
pub fn document() -> Value {
    let (_, made) = super::routes::routes();
    let mut document = serde_json::to_value(made).unwrap_or(Value::Null);
    document["info"] = json!({
        "title": "Chat4All",
        "version": "1",
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        "description": "Times are milliseconds since 1970 UTC. Unknown request fields are refused; unknown response \
            fields must be ignored. Every answer has `X-Request-Id`. Answers to writes carry `Chat4All-Position`; a \
            request that sends it back sees at least that.",
    });
    document["security"] = json!([{"bearer": []}]);
    let components = &mut document["components"];
    components["securitySchemes"] = json!({
        "bearer": {"type": "http", "scheme": "bearer", "description": "An access token, or the API key of a bot."}
    });
    components["schemas"]["Problem"] = problem_schema();
    components["schemas"]["FieldError"] = field_error_schema();
    components["responses"] =
        PROBLEMS.into_iter().map(|(_, name, when)| (name.to_owned(), answer(when))).collect();
    limits::put(&mut components["schemas"]);
    if let Some(paths) = document["paths"].as_object_mut() {
        add_aliases(paths);
        for (path, item) in paths {
            for (method, operation) in item.as_object_mut().into_iter().flatten() {
                finish(path, method, operation);
            }
        }
    }
    document
}

fn problem_schema() -> Value {
    schema_of::<chat4all_model::api::Problem>()
}

fn field_error_schema() -> Value {
    schema_of::<chat4all_model::api::FieldError>()
}

fn schema_of<T: utoipa::PartialSchema>() -> Value {
    serde_json::to_value(T::schema()).unwrap_or(Value::Null)
}

fn answer(when: &str) -> Value {
    json!({
        "description": when,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    })
}

fn add_aliases(paths: &mut Map<String, Value>) {
    let second = |(path, item): (&String, &Value)| {
        let (short, rest) =
            ALIASES.iter().find_map(|(long, short)| Some((*short, path.strip_prefix(long)?)))?;
        Some((format!("{short}{rest}"), item.clone()))
    };
    let added: Vec<(String, Value)> = paths.iter().filter_map(second).collect();
    for (path, mut item) in added {
        for operation in item.as_object_mut().into_iter().flat_map(Map::values_mut) {
            let named = |parameter: &Value| {
                path.contains(&format!("{{{}}}", parameter["name"].as_str().unwrap_or("")))
            };
            if let Some(parameters) = operation["parameters"].as_array_mut() {
                parameters.retain(|parameter| parameter["in"] != "path" || named(parameter));
            }
        }
        paths.insert(path, item);
    }
}

fn finish(path: &str, method: &str, operation: &mut Value) {
    operation["operationId"] = Value::String(name(path, method));
    for parameter in operation["parameters"].as_array_mut().into_iter().flatten() {
        limits::put_parameter(parameter);
    }
    if operation["parameters"].is_null()
        && let Some(operation) = operation.as_object_mut()
    {
        operation.remove("parameters");
    }
    if path == "/auth/logout" {
        operation["requestBody"] = json!({
            "required": false,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/LogoutRequest"}}},
        });
    }
    for status in problems(path, method, operation) {
        if let Some((status, name, _)) = PROBLEMS.iter().find(|(known, ..)| *known == status) {
            let answers = &mut operation["responses"][status.to_string()];
            if answers.is_null() {
                *answers = json!({"$ref": format!("#/components/responses/{name}")});
            }
        }
    }
}

/// What an operation may answer beside what it is for.
fn problems(path: &str, method: &str, operation: &Value) -> Vec<u16> {
    let is_open = operation["security"].is_array();
    let changes = method != "get";
    let has = |name: &str| {
        operation["parameters"].as_array().is_some_and(|all| all.iter().any(|one| one["name"] == name))
    };
    let about_accounts = path.starts_with("/auth/") || path.starts_with("/v1/bots");
    let mut statuses = vec![405, 500, 503];
    let mut add = |when: bool, more: &[u16]| {
        if when {
            statuses.extend(more);
        }
    };
    add(!matches!(path, "/health" | "/ready"), &[400]);
    add(!is_open, &[401, 403]);
    add(path.starts_with("/v1/"), &[404]);
    add(about_accounts, &[401, 403, 429]);
    add(changes, &[409, 504]);
    add(!operation["requestBody"].is_null(), &[413, 415]);
    add(has("Idempotency-Key"), &[422]);
    add(path == "/v1/sync", &[410]);
    statuses
}

/// `get_users_by_user_id` of `GET /v1/users/{user_id}`.
fn name(path: &str, method: &str) -> String {
    let parts = path.split('/').filter(|part| !part.is_empty() && *part != "v1");
    parts.fold(method.to_owned(), |name, part| {
        match part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) {
            Some(parameter) => format!("{name}_by_{parameter}"),
            None => format!("{name}_{}", part.replace('-', "_")),
        }
    })
}
