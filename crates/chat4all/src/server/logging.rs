//! Log lines, to stderr: for people `[time] [role] [level] what field=value …`, or one JSON object each.
//!
//! Whoever logs never waits for whoever reads: lines go through a bounded queue to a thread that writes them, and
//! what does not fit is counted and told.

use serde_json::Value;
use std::error::Error;
use std::fmt::{Debug, Write as _};
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, registry};

/// Lines that may wait to be written.
const QUEUE: usize = 8_192;
/// Cassandra's driver hands on what the server remarks to every statement that is prepared, and nobody can mend it.
const DRIVERS: &str = "scylla::network::connection=error";
/// A longer value is cut.
const MAX_VALUE_BYTES: usize = 4_096;
/// How long the end waits for a reader of stderr.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);

/// Writes what waits when it is dropped.
#[derive(Debug)]
pub struct Logging {
    queue: SyncSender<Job>,
}

enum Job {
    Line(String),
    Flush(SyncSender<()>),
}

/// Starts logging, once a process. Lines that `level` admits (`info`, `chat4all_server=debug`, …) are written.
pub fn start(json: bool, level: &str) -> Result<Logging, Box<dyn Error + Send + Sync>> {
    let filter = EnvFilter::try_new(format!("{DRIVERS},{level}"))?;
    let (queue, jobs) = sync_channel(QUEUE);
    let dropped = Arc::new(AtomicU64::new(0));
    let lines = Lines { json, queue: queue.clone(), dropped: Arc::clone(&dropped) };
    std::thread::Builder::new().name("log".to_owned()).spawn(move || write(&jobs, json, &dropped))?;
    registry().with(filter).with(lines).try_init()?;
    Ok(Logging { queue })
}

impl Drop for Logging {
    fn drop(&mut self) {
        let (done, flushed) = sync_channel(1);
        // A queue that is full has a reader who does not read: there is nothing to wait for.
        if self.queue.try_send(Job::Flush(done)).is_ok() {
            let _late: Result<(), RecvTimeoutError> = flushed.recv_timeout(FLUSH_WITHIN);
        }
    }
}

fn write(jobs: &Receiver<Job>, json: bool, dropped: &AtomicU64) {
    let mut told = 0;
    while let Ok(job) = jobs.recv() {
        let lost = dropped.load(Ordering::Relaxed);
        if lost > told {
            let mut line = Line::new(json, "Server", Level::WARN, now_ms());
            line.add("message", Value::from("log lines were lost: their reader is too slow"));
            line.add("lines", Value::from(lost - told));
            told = lost;
            put(&line.finish());
        }
        match job {
            Job::Line(line) => put(&line),
            // Whoever waited may have gone.
            Job::Flush(done) => drop(done.try_send(())),
        }
    }
}

/// A line at once, so that those of two processes do not mix. If stderr is closed nobody can be told.
fn put(line: &str) {
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}

struct Lines {
    json: bool,
    queue: SyncSender<Job>,
    /// Lines for which there was no room.
    dropped: Arc<AtomicU64>,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let about = event.metadata();
        let mut line = Line::new(self.json, role(about.target()), *about.level(), now_ms());
        event.record(&mut line);
        if self.queue.try_send(Job::Line(line.finish())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// Who speaks, by the module.
fn role(target: &str) -> &'static str {
    let mut path = target.strip_prefix("chat4all_").unwrap_or_default().split("::");
    let (part, module) = match target {
        // A canonical line names its transport alone.
        "http" | "ws" => ("server", target),
        _ => (path.next().unwrap_or_default(), path.next().unwrap_or_default()),
    };
    match (part, module) {
        ("server", "http" | "listen" | "chat" | "sync") => "API",
        ("server", "ws" | "live") => "Gateway",
        ("server", "router" | "events") => "Router",
        ("server", "account") | ("backend", "accounts") => "Accounts",
        ("backend", "log") => "Log",
        ("backend", "store" | "sqlite") => "Store",
        ("backend", "bus") => "Bus",
        _ => "Server",
    }
}

/// A line in the making.
struct Line {
    json: bool,
    role: &'static str,
    level: Level,
    time_ms: u64,
    message: String,
    /// In the order given.
    fields: Vec<(String, Value)>,
}

impl Line {
    fn new(json: bool, role: &'static str, level: Level, time_ms: u64) -> Self {
        Self { json, role, level, time_ms, message: String::new(), fields: Vec::new() }
    }

    fn add(&mut self, name: &str, value: Value) {
        match value {
            Value::String(text) if name == "message" => self.message = cut(text),
            Value::String(text) => self.fields.push((name.to_owned(), cut(text).into())),
            other => self.fields.push((name.to_owned(), other)),
        }
    }

    fn finish(self) -> String {
        let time = moment(self.time_ms);
        if self.json {
            let own = [
                ("timestamp", time),
                ("role", self.role.to_owned()),
                ("level", self.level.to_string()),
                ("message", self.message),
            ];
            let mut object: Vec<(String, Value)> =
                own.into_iter().map(|(name, text)| (name.to_owned(), text.into())).collect();
            for (name, value) in self.fields {
                if object.iter().all(|(taken, _)| *taken != name) {
                    object.push((name, value));
                }
            }
            let members: Vec<String> =
                object.into_iter().map(|(name, value)| format!("{}:{value}", Value::from(name))).collect();
            return format!("{{{}}}\n", members.join(","));
        }
        let mut line = format!("[{time}] [{}] [{}] ", self.role, self.level);
        let fields = match self.fields.as_slice() {
            // Of a request people look for what was asked.
            [(method, Value::String(verb)), (route, Value::String(path)), rest @ ..]
                if method == "method" && route == "route" =>
            {
                line += &harmless(&format!("{verb} {path}"));
                rest
            }
            fields => {
                line += &harmless(&self.message);
                fields
            }
        };
        for (name, value) in fields {
            // Writing to a string cannot fail.
            let _ = match value {
                Value::String(text) if is_plain(text) => write!(line, " {name}={text}"),
                Value::String(text) => write!(line, " {name}=\"{}\"", harmless(text).replace('"', "\\\"")),
                Value::Number(number) if number.is_f64() => {
                    write!(line, " {name}={:.1}", number.as_f64().unwrap_or_default())
                }
                other => write!(line, " {name}={other}"),
            };
        }
        line.push('\n');
        line
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field.name(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field.name(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field.name(), format!("{value:?}").into());
    }
}

/// Whether a value can stand without quotes.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "-_.:@+/%*,~".contains(c))
}

/// A text that stays on its line and moves no cursor.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn cut(mut text: String) -> String {
    if text.len() > MAX_VALUE_BYTES {
        text.truncate(text.floor_char_boundary(MAX_VALUE_BYTES));
        text.push('…');
    }
    text
}

/// A moment in milliseconds since 1970, as RFC 3339 to the millisecond.
pub fn moment(ms: u64) -> String {
    let (days, of_day) = (i64::try_from(ms / 86_400_000).unwrap_or(0), ms % 86_400_000);
    // Howard Hinnant's civil_from_days, for days since 1970.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (second, millisecond) = (of_day / 1000 % 60, of_day % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::subscriber::with_default;

    /// The lines that are logged meanwhile, without their times, and how many found no room.
    fn logged(json: bool, room: usize, work: impl FnOnce()) -> (Vec<String>, u64) {
        let (queue, jobs) = sync_channel(room);
        let dropped = Arc::new(AtomicU64::new(0));
        let lines = Lines { json, queue, dropped: Arc::clone(&dropped) };
        with_default(registry().with(lines), work);
        let lines = jobs.into_iter().filter_map(|job| match job {
            Job::Line(line) => Some(line),
            Job::Flush(_) => None,
        });
        (lines.collect(), dropped.load(Ordering::Relaxed))
    }

    fn request() {
        tracing::info!(
            target: "chat4all_server::http::log",
            conversation_id = %"d:a:b",
            status = 202,
            duration_ms = 8.5,
            error = "no \"such\"\nthing",
            "POST /v1/messages"
        );
    }

    #[test]
    fn moments_are_written_as_they_were() {
        assert_eq!(moment(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(moment(1_764_756_930_123), "2025-12-03T10:15:30.123Z");
        assert_eq!(moment(951_782_400_000), "2000-02-29T00:00:00.000Z");
    }

    #[test]
    fn people_read_role_level_and_fields_on_one_line() {
        let (lines, _) = logged(false, 8, request);
        let line = lines[0].split_once("] ").unwrap().1;
        assert_eq!(
            line,
            "[API] [INFO] POST /v1/messages conversation_id=d:a:b status=202 duration_ms=8.5 \
             error=\"no \\\"such\\\"\u{fffd}thing\"\n"
        );
        assert!(lines[0].starts_with("[20") && lines[0].contains("Z] [API]"), "{}", lines[0]);
    }

    #[test]
    fn a_request_is_told_by_what_was_asked() {
        let work = || tracing::info!(target: "http", method = "GET", route = "/v1/users/{id}", status = 200, "answered");
        let (lines, _) = logged(false, 8, work);
        assert!(lines[0].ends_with("] [API] [INFO] GET /v1/users/{id} status=200\n"), "{}", lines[0]);
    }

    #[test]
    fn programs_read_an_object() {
        let (lines, _) = logged(true, 8, request);
        let line: Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(line["role"], "API");
        assert_eq!(line["message"], "POST /v1/messages");
        assert_eq!(line["duration_ms"], 8.5);
        assert_eq!(line["error"], "no \"such\"\nthing");
    }

    #[test]
    fn who_logs_never_waits() {
        let (lines, dropped) = logged(false, 2, || (0..5).for_each(|n| tracing::info!(n, "line")));
        assert_eq!((lines.len(), dropped), (2, 3));
    }

    #[test]
    fn who_speaks_is_told_by_the_module() {
        let modules = [
            ("chat4all_server::http::log", "API"),
            ("chat4all_server::ws::connection", "Gateway"),
            ("chat4all_server::router::decider", "Router"),
            ("chat4all_backend::log::embedded::writer", "Log"),
            ("hyper::proto", "Server"),
            ("ws", "Gateway"),
        ];
        for (target, name) in modules {
            assert_eq!(role(target), name, "{target}");
        }
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        assert!(cut("ä".repeat(4_000)).len() <= MAX_VALUE_BYTES + "…".len());
    }
}
