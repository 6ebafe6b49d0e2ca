//! Every setting: one name as flag, environment variable (`CHAT4ALL_…`) and key of the settings file.

use chat4all_backend::address;
use chat4all_server::installation::{EMBEDDED, EngineUrls};
use clap::{Args, CommandFactory, FromArgMatches, ValueEnum};
use serde::Serialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Where an installation's engines are, and its secret.
#[derive(Debug, Clone, Args, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct EngineArgs {
    /// The data folder: of the embedded engines, and of what operators use to reach this process.
    #[arg(long, env = "CHAT4ALL_DATA", default_value = "./data")]
    pub data: PathBuf,
    /// The event log: `embedded`, `kafka://host:9092,host/prefix`.
    #[arg(long, env = "CHAT4ALL_LOG_URL", default_value = EMBEDDED, hide_env_values = true)]
    #[serde(serialize_with = "masked_url")]
    pub log_url: String,
    /// Partitions of the log; fixed when it is made. Left out: 4, of Kafka 32.
    #[arg(long, env = "CHAT4ALL_PARTITIONS", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub partitions: Option<u32>,
    /// The store of conversations: `embedded`, `cassandra://host:9042,host/keyspace`, `postgres://user@host:5432/database`.
    #[arg(long, env = "CHAT4ALL_STORE_URL", default_value = EMBEDDED, hide_env_values = true)]
    #[serde(serialize_with = "masked_url")]
    pub store_url: String,
    /// The store of accounts; left out: the same as `store-url`.
    #[arg(long, env = "CHAT4ALL_ACCOUNTS_URL", hide_env_values = true)]
    #[serde(serialize_with = "masked_optional_url")]
    pub accounts_url: Option<String>,
    /// The bus: `embedded`, `redis://host:6379`, `rediss://`, `redis+sentinel://host,host/master`, `redis+cluster://host,host`.
    #[arg(long, env = "CHAT4ALL_BUS_URL", default_value = EMBEDDED, hide_env_values = true)]
    #[serde(serialize_with = "masked_url")]
    pub bus_url: String,
    /// Files: `embedded`, `s3://key:secret@bucket?endpoint=…`.
    #[arg(long, env = "CHAT4ALL_BLOBS_URL", default_value = EMBEDDED, hide_env_values = true)]
    #[serde(serialize_with = "masked_url")]
    pub blobs_url: String,
    /// The secret from which all keys derive (at least 32 characters), the same for all processes; left out: made in the
    /// data folder. Needed with any engine that is not embedded.
    #[arg(long, env = "CHAT4ALL_SECRET", hide_env_values = true)]
    #[serde(serialize_with = "masked")]
    pub secret: Option<String>,
}

impl EngineArgs {
    /// Where the engines are.
    pub fn urls(&self) -> EngineUrls {
        EngineUrls {
            log: self.log_url.clone(),
            store: self.store_url.clone(),
            accounts: self.accounts_url.clone(),
            bus: self.bus_url.clone(),
            blobs: self.blobs_url.clone(),
            partitions: self.partitions,
            ..EngineUrls::embedded(self.data.clone())
        }
    }

    /// Those of a data folder.
    #[cfg(test)]
    pub fn of(data: &std::path::Path) -> Self {
        let embedded = || EMBEDDED.to_owned();
        Self {
            data: data.to_owned(),
            log_url: embedded(),
            partitions: None,
            store_url: embedded(),
            accounts_url: None,
            bus_url: embedded(),
            blobs_url: embedded(),
            secret: None,
        }
    }
}

/// The settings of a server.
#[derive(Debug, Clone, Args, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Settings {
    /// Settings from a TOML file; flags and environment variables go before it.
    #[arg(long, env = "CHAT4ALL_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the API and the sockets are served.
    #[arg(long, env = "CHAT4ALL_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Where metrics, health and readiness are served.
    #[arg(long, env = "CHAT4ALL_OPS_LISTEN", default_value = "127.0.0.1:8081")]
    pub ops_listen: SocketAddr,
    #[command(flatten)]
    #[serde(flatten)]
    pub engines: EngineArgs,
    /// What this process does.
    #[arg(long, env = "CHAT4ALL_ROLES", value_delimiter = ',', default_value = "api,gateway,router")]
    pub roles: Vec<Role>,
    /// The URL under which clients reach this server.
    #[arg(long, env = "CHAT4ALL_PUBLIC_URL")]
    pub public_url: Option<String>,
    /// Addresses of proxies whose `X-Forwarded-For` is believed.
    #[arg(long, env = "CHAT4ALL_TRUSTED_PROXIES", value_delimiter = ',')]
    pub trusted_proxies: Vec<std::net::IpAddr>,
    /// Origins of web pages that may use the API from a browser; `*` for every one. The server's own always may.
    #[arg(long, env = "CHAT4ALL_ALLOWED_ORIGINS", value_delimiter = ',')]
    pub allowed_origins: Vec<String>,
    /// Who may sign up.
    #[arg(long, env = "CHAT4ALL_REGISTRATION", value_enum, default_value_t = Registration::Open)]
    pub registration: Registration,
    /// How long the log keeps what is decided and stored (`7d`, `12h`, `30m`, `0`).
    #[arg(long, env = "CHAT4ALL_LOG_RETENTION", default_value = "7d")]
    pub log_retention: Span,
    /// Connections at once, of all kinds.
    #[arg(long, env = "CHAT4ALL_MAX_CONNECTIONS", default_value_t = 100_000)]
    pub max_connections: usize,
    /// Sockets at once of one user.
    #[arg(long, env = "CHAT4ALL_MAX_CONNECTIONS_PER_USER", default_value_t = 50)]
    pub max_connections_per_user: u32,
    /// Sockets at once from one address.
    #[arg(long, env = "CHAT4ALL_MAX_CONNECTIONS_PER_ADDRESS", default_value_t = 1_000)]
    pub max_connections_per_address: u32,
    /// Frames a second of one socket, on average; four times as many at once.
    #[arg(long, env = "CHAT4ALL_MAX_FRAMES_PER_SECOND", default_value_t = 500)]
    pub max_frames_per_second: u32,
    /// Requests under way at once.
    #[arg(long, env = "CHAT4ALL_MAX_REQUESTS", default_value_t = 4_096)]
    pub max_requests: usize,
    /// The newest events kept in memory for clients that reconnect, in MiB.
    #[arg(long, env = "CHAT4ALL_RING_MIB", default_value_t = 64)]
    pub ring_mib: usize,
    /// Limits on signing up and in; `off` for tests and benchmarks only.
    #[arg(long, env = "CHAT4ALL_AUTH_LIMITS", value_enum, default_value_t = Switch::On)]
    pub auth_limits: Switch,
    /// How log lines are written.
    #[arg(long, env = "CHAT4ALL_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// Which log lines are written (`info`, `chat4all_server=debug`, …).
    #[arg(long, env = "CHAT4ALL_LOG_LEVEL", default_value = "info")]
    pub log_level: String,
    /// Topics for others (`message.created`, …), with what is written in them: for the operator's own systems. `auto`: where
    /// the log is Kafka; `skip-gap`: also behind what is gone from the log, which otherwise stops them.
    #[arg(long, env = "CHAT4ALL_PUBLIC_TOPICS", value_enum, default_value_t = PublicTopics::Auto)]
    pub public_topics: PublicTopics,
    /// A Confluent-compatible schema registry for the topics that others read.
    #[arg(long, env = "CHAT4ALL_SCHEMA_REGISTRY_URL", hide_env_values = true)]
    #[serde(serialize_with = "masked_optional_url")]
    pub schema_registry_url: Option<String>,
    /// Holds back all deciding, to measure what stands before it.
    #[arg(long, env = "CHAT4ALL_PAUSE_ROUTER", hide = true)]
    pub pause_router: bool,
}

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// REST.
    Api,
    /// Sockets.
    Gateway,
    /// Decides and projects.
    Router,
}

/// Who may sign up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Registration {
    /// Everybody.
    Open,
    /// Who has an invite.
    Invite,
    /// Nobody.
    Closed,
}

/// Whether topics for others are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PublicTopics {
    /// Where others can read them.
    Auto,
    /// Always.
    On,
    /// Always, going on where the log begins if what is to be told next is gone from it.
    SkipGap,
    /// Never.
    Off,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Switch {
    /// On.
    On,
    /// Off.
    Off,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// A length of time as people write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("`{s}` is no length of time; write `7d`, `12h`, `30m`, `45s` or `0`");
        if s == "0" {
            return Ok(Self(Duration::ZERO));
        }
        let (number, unit) = s.split_at_checked(s.len().saturating_sub(1)).ok_or_else(wrong)?;
        let seconds = match unit {
            "d" => 86_400,
            "h" => 3_600,
            "m" => 60,
            "s" => 1,
            _ => return Err(wrong()),
        };
        let number: u64 = number.parse().map_err(|_| wrong())?;
        number.checked_mul(seconds).map(|s| Self(Duration::from_secs(s))).ok_or_else(wrong)
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.as_secs() {
            0 => f.write_str("0"),
            s if s % 86_400 == 0 => write!(f, "{}d", s / 86_400),
            s if s % 3_600 == 0 => write!(f, "{}h", s / 3_600),
            s if s % 60 == 0 => write!(f, "{}m", s / 60),
            s => write!(f, "{s}s"),
        }
    }
}

impl Serialize for Span {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

#[expect(clippy::ref_option, reason = "serde's signature")]
fn masked<S: serde::Serializer>(secret: &Option<String>, s: S) -> Result<S::Ok, S::Error> {
    match secret {
        Some(_) => s.serialize_str("********"),
        None => s.serialize_none(),
    }
}

fn masked_url<S: serde::Serializer>(url: &str, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(&address::masked(url))
}

#[expect(clippy::ref_option, reason = "serde's signature")]
fn masked_optional_url<S: serde::Serializer>(url: &Option<String>, s: S) -> Result<S::Ok, S::Error> {
    url.as_deref().map(address::masked).serialize(s)
}

impl Settings {
    /// The settings in force once the file they name is read: what it says counts where neither a flag nor the
    /// environment says otherwise.
    ///
    /// # Errors
    /// If the file cannot be read, names a setting that does not exist, or gives a value that does not fit.
    pub fn with_file(self) -> Result<Self, String> {
        let Some(path) = &self.config else { return Ok(self) };
        let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let file: toml::Table = text.parse().map_err(|e| format!("{}: {e}", path.display()))?;
        let command = Self::augment_args(clap::Command::new("chat4all"));
        let mut arguments = vec!["chat4all".to_owned()];
        for (key, value) in &file {
            let known = command.get_arguments().find(|a| a.get_long() == Some(key)).ok_or_else(|| {
                format!("{}: `{key}` is no setting; `chat4all config` lists them", path.display())
            })?;
            let env_set = known.get_env().is_some_and(|name| std::env::var_os(name).is_some());
            match value {
                _ if env_set => {}
                toml::Value::Boolean(true) => arguments.push(format!("--{key}")),
                toml::Value::Boolean(false) => {}
                toml::Value::Array(many) => {
                    let many: Vec<String> = many.iter().map(plain).collect();
                    arguments.push(format!("--{key}={}", many.join(",")));
                }
                one => arguments.push(format!("--{key}={}", plain(one))),
            }
        }
        // The command line again, behind the file: the later of two flags counts.
        let given = std::env::args().skip(2);
        let command = command.args_override_self(true).no_binary_name(false);
        let matches =
            command.try_get_matches_from(arguments.into_iter().chain(given)).map_err(|e| e.to_string())?;
        Self::from_arg_matches(&matches).map_err(|e| e.to_string())
    }
}

fn plain(value: &toml::Value) -> String {
    match value {
        toml::Value::String(s) => s.clone(),
        other => other.to_string(),
    }
}

/// The reference of all settings, generated from their definitions.
pub fn reference() -> String {
    #[derive(clap::Parser)]
    struct Only {
        #[command(flatten)]
        _settings: Settings,
    }
    let mut out = String::from(
        "# Settings\n\nGenerated by `chat4all config --reference`. Flags go before environment variables, both before the file.\n\n| flag and key | environment | default | |\n|---|---|---|---|\n",
    );
    for argument in Only::command().get_arguments().filter(|a| !a.is_hide_set()) {
        let (Some(long), Some(env)) = (argument.get_long(), argument.get_env()) else { continue };
        let default: Vec<_> = argument.get_default_values().iter().map(|v| v.to_string_lossy()).collect();
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        out += &format!("| `{long}` | `{}` | {} | {help} |\n", env.to_string_lossy(), default.join(","));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_and_written_alike() {
        for text in ["0", "7d", "12h", "30m", "45s"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        for bad in ["", "d", "7", "-1d", "7w", "99999999999999999999d", "ä"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }
}
