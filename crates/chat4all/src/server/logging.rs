//! Log lines, to stderr.

use tracing_subscriber::EnvFilter;

/// Starts logging.
pub fn start(json: bool, level: &str) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let filter = EnvFilter::try_new(level)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if json { lines.json().try_init() } else { lines.try_init() }
}
