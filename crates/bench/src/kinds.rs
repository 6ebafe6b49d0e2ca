//! The kinds of measurement. Each knows how to measure the server and, where there is one, the limit beside it.

pub(crate) mod accept;
pub(crate) mod disk;
pub(crate) mod drain;
pub(crate) mod failover;
pub(crate) mod fanout;
pub(crate) mod history;
pub(crate) mod idle;
pub(crate) mod latency;
mod load;
pub(crate) mod resume;
pub(crate) mod start;
pub(crate) mod throughput;

pub(crate) use load::content;

use crate::Result;
use crate::server::Program;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// What one run of one side measured, by name.
pub(crate) type Metrics = BTreeMap<&'static str, f64>;

/// A kind with its parameters.
#[derive(Debug)]
pub(crate) enum Kind {
    Accept(accept::Params),
    Throughput(throughput::Params),
    Latency(latency::Params),
    Fanout(fanout::Params),
    Idle(idle::Params),
    History(history::Params),
    Disk(disk::Params),
    Start(start::Params),
    Resume(resume::Params),
    Drain(drain::Params),
    Failover(failover::Params),
}

impl Kind {
    pub(crate) fn parse(kind: &str, params: toml::Table) -> Result<Self> {
        fn of<T: DeserializeOwned>(params: toml::Table) -> Result<T> {
            Ok(T::deserialize(params)?)
        }
        Ok(match kind {
            "accept" => Self::Accept(of(params)?),
            "throughput" => Self::Throughput(of(params)?),
            "latency" => Self::Latency(of(params)?),
            "fanout" => Self::Fanout(of(params)?),
            "idle" => Self::Idle(of(params)?),
            "history" => Self::History(of(params)?),
            "disk" => Self::Disk(of(params)?),
            "start" => Self::Start(of(params)?),
            "resume" => Self::Resume(of(params)?),
            "drain" => Self::Drain(of(params)?),
            "failover" => Self::Failover(of(params)?),
            other => return Err(format!("no kind {other}").into()),
        })
    }

    /// Measures the server.
    pub(crate) async fn ours(&self, program: &Program) -> Result<Metrics> {
        match self {
            Self::Accept(params) => accept::ours(params, program).await,
            Self::Throughput(params) => throughput::ours(params, program).await,
            Self::Latency(params) => latency::ours(params, program).await,
            Self::Fanout(params) => fanout::ours(params, program).await,
            Self::Idle(params) => idle::ours(params, program).await,
            Self::History(params) => history::ours(params, program).await,
            Self::Disk(params) => disk::ours(params, program).await,
            Self::Start(params) => start::ours(params, program).await,
            Self::Resume(params) => resume::ours(params, program).await,
            Self::Drain(params) => drain::ours(params, program).await,
            Self::Failover(params) => failover::ours(params, program).await,
        }
    }

    /// Whether one process cannot show it.
    pub(crate) fn needs_processes(&self) -> bool {
        matches!(self, Self::Failover(_))
    }

    /// Measures the least that could do the same work; none where there is no such thing.
    pub(crate) async fn limit(&self) -> Result<Option<Metrics>> {
        Ok(match self {
            Self::Accept(params) => Some(accept::limit(params).await?),
            Self::Throughput(params) => Some(throughput::limit(params).await?),
            Self::Latency(params) => Some(latency::limit(params).await?),
            Self::Fanout(params) => Some(fanout::limit(params).await?),
            Self::Idle(params) => Some(idle::limit(params).await?),
            Self::History(params) => Some(history::limit(params).await?),
            Self::Disk(params) => Some(disk::limit(params).await?),
            Self::Start(_) | Self::Resume(_) | Self::Drain(_) | Self::Failover(_) => None,
        })
    }
}
