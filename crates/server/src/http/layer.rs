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
use metrics::{Gauge, Histogram, counter, gauge, histogram};
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
    gauge: Gauge,
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
        self.0.gauge.decrement(1);
    }
}

impl AroundLayer {
    pub(super) fn new(most: usize, patience: Duration) -> Self {
        Self(Arc::new(Shared {
            most,
            patience,
            under_way: AtomicUsize::new(0),
            gauge: gauge!("http_requests_under_way"),
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
        self.gauge.increment(1);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::trail;
    use axum::Router;
    use axum::body::Body;
    use axum::routing::any;
    use chat4all_model::api::Problem;
    use chat4all_model::id::UserId;
    use http_body_util::BodyExt;
    use parking_lot::Mutex;
    use std::fmt::{Debug, Write};
    use tower::ServiceExt;
    use tracing::field::{Field, Visit};
    use tracing::span;

    async fn boom() -> Response {
        panic!("out of luck")
    }

    async fn slow() -> Response {
        std::future::pending().await
    }

    async fn known() -> &'static str {
        trail::note_user(&UserId::parse("alice").unwrap());
        "done"
    }

    fn app(most: usize) -> Router {
        Router::new()
            .route("/boom", any(boom))
            .route("/slow", any(slow))
            .route("/v1/conversations/{conversation_id}/known", any(known))
            .layer(AroundLayer::new(most, Duration::from_secs(75)))
    }

    async fn call(app: &Router, method: Method, uri: &str) -> Response {
        let request = Request::builder().method(method).uri(uri).body(Body::empty()).unwrap();
        app.clone().oneshot(request).await.unwrap()
    }

    async fn problem(response: Response) -> Problem {
        let body = response.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&body).unwrap()
    }

    #[tokio::test]
    async fn a_panic_is_a_problem_that_tells_nothing_of_it() {
        let problem = problem(call(&app(1), Method::GET, "/boom").await).await;
        assert_eq!((problem.status, problem.code.as_str()), (500, "internal"));
        assert!(!problem.detail.contains("luck") && !problem.request_id.is_empty(), "{problem:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_too_long_is_unknown_if_it_may_have_changed_something() {
        let app = app(8);
        for (method, status, code) in
            [(Method::GET, 503, "unavailable"), (Method::POST, 504, "outcome_unknown")]
        {
            let problem = problem(call(&app, method, "/slow").await).await;
            assert_eq!((problem.status, problem.code.as_str()), (status, code));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_is_given_back_when_the_client_goes_away() {
        let app = app(1);
        let waiting = tokio::time::timeout(Duration::from_secs(1), call(&app, Method::GET, "/slow"));
        let refused = async {
            tokio::task::yield_now().await;
            call(&app, Method::GET, "/slow").await.status()
        };
        let (waited, refused) = tokio::join!(waiting, refused);
        assert!(waited.is_err());
        assert_eq!(refused, StatusCode::SERVICE_UNAVAILABLE);
        let path = "/v1/conversations/g:1/known";
        assert_eq!(call(&app, Method::GET, path).await.status(), StatusCode::OK);
    }

    /// Keeps what is logged.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<String>>);

    impl Visit for Kept {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            let _ = write!(self.0.lock(), "{field}={value:?} ");
        }
    }

    impl tracing::Subscriber for Kept {
        fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
            metadata.target() == "http"
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

        fn event(&self, event: &tracing::Event<'_>) {
            event.record(&mut self.clone());
        }

        fn enter(&self, _: &span::Id) {}

        fn exit(&self, _: &span::Id) {}
    }

    #[tokio::test]
    async fn the_line_of_a_request_says_who_and_where_and_no_secret() {
        let kept = Kept::default();
        // With a single one, a line first reached by another test's thread would be off for all.
        let _second = tracing::Dispatch::new(kept.clone());
        let _logging = tracing::subscriber::set_default(kept.clone());
        let app = app(1);
        call(&app, Method::GET, "/v1/conversations/g:1/known?token=s3cret").await;
        call(&app, Method::GET, "/boom").await;
        let lines = kept.0.lock().clone();
        for part in [
            r#"route="/v1/conversations/{conversation_id}/known""#,
            r#"method="GET""#,
            "status=200",
            "user_id=alice",
            r#"conversation_id="g:1""#,
            "bytes=4",
            "status=500",
            "out of luck",
        ] {
            assert!(lines.contains(part), "{part}: {lines}");
        }
        assert!(!lines.contains("s3cret"), "{lines}");
    }
}
