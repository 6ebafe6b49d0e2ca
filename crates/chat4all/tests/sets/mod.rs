//! Sets of engines that are tried together. A set whose engines are not there has its tests ignored.

/// Engines of one installation.
pub struct Set {
    /// As tests name it.
    pub name: &'static str,
    /// A letter that no other set has.
    tag: char,
    /// The log, the store and the bus; none is embedded or all are.
    urls: Option<[Url; 3]>,
}

/// The variable of the environment that has an engine's URL, and what makes it a run's own.
type Url = (&'static str, &'static str);

const KAFKA: Url = ("CHAT4ALL_TEST_KAFKA_URL", "/{run}");
const REDIS: Url = ("CHAT4ALL_TEST_REDIS_URL", "?prefix={run}");
const CASSANDRA: Url = ("CHAT4ALL_TEST_CASSANDRA_URL", "/{run}?replication=1");
const POSTGRES: Url = ("CHAT4ALL_TEST_POSTGRES_URL", "?schema={run}");

/// Everything in a data folder, and engines across a network.
pub const SETS: [Set; 3] = [
    Set { name: "embedded", tag: 'e', urls: None },
    Set { name: "kafka_cassandra_redis", tag: 'c', urls: Some([KAFKA, CASSANDRA, REDIS]) },
    Set { name: "kafka_postgres_redis", tag: 'p', urls: Some([KAFKA, POSTGRES, REDIS]) },
];

/// Where the engines of one installation are.
pub struct Place {
    /// Of the log.
    pub log: String,
    /// Of conversations and accounts.
    pub store: String,
    /// Of the bus.
    pub bus: String,
}

impl Set {
    /// Whether it is all in a data folder.
    pub fn is_embedded(&self) -> bool {
        self.urls.is_none()
    }

    /// Whether its engines are there.
    pub fn is_there(&self) -> bool {
        self.urls.iter().flatten().all(|(variable, _)| std::env::var_os(variable).is_some())
    }

    /// An installation of its own by the name `run` (lower-case letters, digits, `_`); none if embedded or not there.
    pub fn place(&self, run: &str) -> Option<Place> {
        // Sets are tried side by side, and share engines.
        let run = format!("{run}_{}", self.tag);
        let url = |(variable, own): &Url| {
            Some(format!("{}{}", std::env::var(variable).ok()?, own.replace("{run}", &run)))
        };
        let [log, store, bus] = self.urls.as_ref()?;
        Some(Place { log: url(log)?, store: url(store)?, bus: url(bus)? })
    }
}

impl Place {
    /// Flags of every command that works on the installation.
    pub fn flags(&self) -> Vec<String> {
        vec![
            format!("--log-url={}", self.log),
            format!("--store-url={}", self.store),
            format!("--bus-url={}", self.bus),
            format!("--secret={}", "not a secret ".repeat(4)),
        ]
    }
}
