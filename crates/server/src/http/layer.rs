//! The one layer around every request: its id, its place among those under way, its time limit, the answer's
//! headers, its metrics and the line that is logged of it.

use super::problem::{self, Failed};
use super::trail::{TRAIL, Trail};
use crate::error::Failure;
use axum::body::HttpBody;
use axum::extract::{MatchedPath, Request};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use chat4all_model::api::Code;
use futures_util::FutureExt;
use metrics::{Histogram, counter, gauge, histogram};
use parking_lot::RwLock;
use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tower::{Layer, Service};
use tracing::Level;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The route of what matches none.
const UNMATCHED: &str = "unmatched";
/// Routes that are answered however much is under way: the first two are asked when it is too much, the others
/// have limits of their own.
const ALWAYS: [&str; 4] = ["/health", "/ready", "/v1/sync", "/ws"];

/// Puts [`Around`] around a service.
#[derive(Clone)]
pub(super) struct AroundLayer(Arc<Shared>);

/// A service with the layer around it.
#[derive(Clone)]
pub(super) struct Around<S> {
    inner: S,
    shared: Arc<Shared>,
}

struct Shared {
    /// Requests at once; more are `overloaded`.
    most: usize,
    /// How long one may take.
    patience: Duration,
    under_way: AtomicUsize,
    ids: Ids,
    durations: Durations,
}

/// Gives requests their ids: a random beginning a process, then a count.
struct Ids {
    process: u64,
    count: AtomicU64,
}

/// The histograms of one route, by method and status.
type OfRoute = Vec<(Method, StatusCode, Histogram)>;

/// The histograms that were asked for, by route.
#[derive(Default)]
struct Durations(RwLock<HashMap<String, OfRoute>>);

/// A place among the requests under way, given back when dropped.
struct Place(Arc<Shared>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
        gauge!("http_requests_under_way").decrement(1);
    }
}

impl AroundLayer {
    pub(super) fn new(most: usize, patience: Duration) -> Self {
        Self(Arc::new(Shared {
            most,
            patience,
            under_way: AtomicUsize::new(0),
            ids: Ids { process: rand::random(), count: AtomicU64::new(0) },
            durations: Durations::default(),
        }))
    }
}

impl<S> Layer<S> for AroundLayer {
    type Service = Around<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Around { inner, shared: Arc::clone(&self.0) }
    }
}

impl<S> Service<Request> for Around<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        // The one that is ready answers; its clone takes its place.
        let next = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, next);
        let shared = Arc::clone(&self.shared);
        Box::pin(TRAIL.scope(RefCell::default(), async move { Ok(shared.answer(inner, request).await) }))
    }
}

/// What of a request is needed once it is answered.
struct Asked {
    began: Instant,
    method: Method,
    route: Option<MatchedPath>,
    uri: Uri,
    id: String,
}

impl Shared {
    async fn answer<S>(self: Arc<Self>, mut inner: S, request: Request) -> Response
    where
        S: Service<Request, Response = Response, Error = Infallible>,
    {
        let asked = Asked {
            began: Instant::now(),
            method: request.method().clone(),
            route: request.extensions().get::<MatchedPath>().cloned(),
            uri: request.uri().clone(),
            id: self.ids.next(),
        };
        let place = if ALWAYS.contains(&asked.route()) { Some(None) } else { self.place().map(Some) };
        let response = match place {
            Some(_held) => {
                let answering = AssertUnwindSafe(async move { inner.call(request).await }).catch_unwind();
                match tokio::time::timeout(self.patience, answering).await {
                    Ok(Ok(Ok(response))) => response,
                    Ok(Err(panic)) => refused(Failure::internal(words_of(&*panic))),
                    Err(_) => refused(late(&asked.method)),
                }
            }
            None => refused(Failure::new(Code::Overloaded, "too many requests are under way")),
        };
        self.finish(&asked, response)
    }

    fn place(self: &Arc<Self>) -> Option<Place> {
        let before = self.under_way.fetch_add(1, Ordering::Relaxed);
        gauge!("http_requests_under_way").increment(1);
        let place = Place(Arc::clone(self));
        (before < self.most).then_some(place)
    }

    fn finish(&self, asked: &Asked, mut response: Response) -> Response {
        let failed = response.extensions_mut().remove::<Failed>();
        if let Some(Failed(failure)) = &failed {
            problem::write(&mut response, failure, &asked.id);
        }
        let headers = response.headers_mut();
        if let Ok(id) = HeaderValue::from_str(&asked.id) {
            headers.insert(REQUEST_ID, id);
        }
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
        );
        let took = asked.began.elapsed();
        self.durations.record(&asked.method, asked.route(), response.status(), took);
        log(asked, &response, took, failed.as_ref().map(|failed| &*failed.0));
        response
    }
}

impl Asked {
    fn route(&self) -> &str {
        self.route.as_ref().map_or(UNMATCHED, MatchedPath::as_str)
    }

    /// The conversation that the path names.
    fn conversation(&self) -> Option<&str> {
        let within = self.route().starts_with("/v1/conversations/{conversation_id}");
        self.uri.path().split('/').nth(3).filter(|_| within)
    }
}

/// The line of a request: what the operator needs, nothing of what people wrote.
fn log(asked: &Asked, response: &Response, took: Duration, failure: Option<&Failure>) {
    let fault = failure.filter(|failure| failure.is_fault());
    if fault.is_none() && !tracing::enabled!(target: "http", Level::INFO) {
        return;
    }
    let trail = TRAIL.with(RefCell::take);
    let Trail { user, conversation } = &trail;
    let (method, route, request_id) = (asked.method.as_str(), asked.route(), asked.id.as_str());
    let (user_id, conversation_id) =
        (user.as_ref().map(tracing::field::display), conversation.as_deref().or(asked.conversation()));
    let status = response.status().as_u16();
    let duration_ms = took.as_secs_f64() * 1000.0;
    let bytes = response.body().size_hint().exact();
    let code = failure.map(|failure| failure.code.as_str());
    match fault {
        Some(cause) => tracing::error!(
            target: "http", method, route, status, duration_ms, user_id, conversation_id, request_id, bytes, code,
            %cause, "answered"
        ),
        None => tracing::info!(
            target: "http", method, route, status, duration_ms, user_id, conversation_id, request_id, bytes, code,
            "answered"
        ),
    }
}

fn refused(failure: Failure) -> Response {
    problem::Problem(failure).into_response()
}

/// A request that took too long. What only reads has surely changed nothing.
fn late(method: &Method) -> Failure {
    if method.is_safe() {
        Failure::new(Code::Unavailable, "it took too long")
    } else {
        Failure::new(Code::OutcomeUnknown, "it took too long; it may have been done or not")
    }
}

/// What a panic said.
fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let words = panic.downcast_ref::<&str>().copied();
    let words = words.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    counter!("http_panics_total").increment(1);
    format!("panicked: {}", words.unwrap_or("without words"))
}

impl Ids {
    fn next(&self) -> String {
        format!("{:016x}-{:x}", self.process, self.count.fetch_add(1, Ordering::Relaxed))
    }
}

impl Durations {
    fn record(&self, method: &Method, route: &str, status: StatusCode, took: Duration) {
        let fits = |entry: &&(Method, StatusCode, Histogram)| entry.0 == *method && entry.1 == status;
        if let Some((.., histogram)) =
            self.0.read().get(route).and_then(|of_route| of_route.iter().find(fits))
        {
            return histogram.record(took);
        }
        let known = [
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
            Method::HEAD,
            Method::OPTIONS,
        ]
        .contains(method);
        // Anybody can make up a method; a label must not grow with that.
        let name = if known { method.as_str() } else { "other" };
        let histogram = histogram!(
            "http_request_duration_seconds",
            "method" => name.to_owned(), "route" => route.to_owned(), "status" => status.as_str().to_owned()
        );
        histogram.record(took);
        if known {
            let mut all = self.0.write();
            all.entry(route.to_owned()).or_default().push((method.clone(), status, histogram));
        }
    }
}
