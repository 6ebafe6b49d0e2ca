//! What librdkafka tells beside answers: its log, and that brokers cannot be reached.

use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Hears a client out.
#[derive(Clone, Default)]
pub(super) struct Context {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Set when no broker could be reached, until somebody looks.
    all_down: AtomicBool,
    /// The last thing that went wrong.
    trouble: Mutex<Option<Trouble>>,
}

/// Why a cluster cannot be used.
#[derive(Debug, Clone)]
pub(super) struct Trouble {
    pub(super) code: RDKafkaErrorCode,
    pub(super) reason: String,
}

impl Context {
    /// Whether no broker could be reached since the last call.
    pub(super) fn take_all_down(&self) -> bool {
        self.shared.all_down.swap(false, Ordering::Relaxed)
    }

    pub(super) fn trouble(&self) -> Option<Trouble> {
        self.shared.trouble.lock().clone()
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(facility, "librdkafka: {line}");
            }
            // It repairs what it calls errors: lost connections, moved partitions.
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => {
                tracing::warn!(facility, "librdkafka: {line}");
            }
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => tracing::info!(facility, "librdkafka: {line}"),
            RDKafkaLogLevel::Debug => tracing::debug!(facility, "librdkafka: {line}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let Some(code) = error.rdkafka_error_code() else { return };
        tracing::debug!(%code, "librdkafka: {reason}");
        if code == RDKafkaErrorCode::AllBrokersDown {
            self.shared.all_down.store(true, Ordering::Relaxed);
            // It says nothing of why, which an error before it did.
            return;
        }
        *self.shared.trouble.lock() = Some(Trouble { code, reason: reason.to_owned() });
    }
}

impl ConsumerContext for Context {}
