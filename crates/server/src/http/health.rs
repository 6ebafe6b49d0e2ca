//! `/health`, `/ready`, `/metrics`: for whoever runs the installation.

use super::Gateway;
use crate::ready::{Readiness, Report};
use axum::Json as Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// The process answers.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    /// `ok`
    status: &'static str,
}

/// Is the process alive
#[utoipa::path(
    get, path = "/health", tag = "operations", security(()),
    responses((status = 200, description = "It answers", body = Health)),
)]
pub(super) async fn health() -> Body<Health> {
    Body(Health { status: "ok" })
}

/// Can the process do its work
#[utoipa::path(
    get, path = "/ready", tag = "operations", security(()),
    responses(
        (status = 200, description = "Each engine is well that messages need", body = Report),
        (status = 503, description = "What is not well, by name", body = Report),
    ),
)]
pub(super) async fn ready(State(gateway): State<Arc<Gateway>>) -> (StatusCode, Body<Report>) {
    answer(&gateway.ready).await
}

/// The same where no API is served.
pub(super) async fn ready_alone(State(ready): State<Readiness>) -> (StatusCode, Body<Report>) {
    answer(&ready).await
}

async fn answer(ready: &Readiness) -> (StatusCode, Body<Report>) {
    let report = ready.report().await;
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Body(report))
}

/// The metrics as Prometheus reads them.
pub(super) async fn metrics(State(metrics): State<PrometheusHandle>) -> impl IntoResponse {
    metrics.run_upkeep();
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.render())
}
