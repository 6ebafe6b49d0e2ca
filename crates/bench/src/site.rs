//! Where a server under test runs: on which engines, in how many processes.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

/// Engines and processes. By default all is embedded in one process.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Site {
    /// The event log; `{run}` stands for a name of each run's own (lower-case letters and digits).
    #[arg(long, env = "CHAT4ALL_BENCH_LOG_URL")]
    log_url: Option<String>,
    /// The store of conversations and accounts.
    #[arg(long, env = "CHAT4ALL_BENCH_STORE_URL")]
    store_url: Option<String>,
    /// The bus.
    #[arg(long, env = "CHAT4ALL_BENCH_BUS_URL")]
    bus_url: Option<String>,
    /// Processes that serve clients. Needs `--routers`, and every engine across a network.
    #[arg(long, default_value_t = 0, requires = "routers")]
    gateways: usize,
    /// Processes that decide; without any one process does everything.
    #[arg(long, default_value_t = 0)]
    routers: usize,
}

impl Site {
    /// Whether it is the default one.
    pub(crate) fn is_embedded(&self) -> bool {
        self.urls().next().is_none()
    }

    /// The engines that are named, by their flags.
    fn urls(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all =
            [("--log-url", &self.log_url), ("--store-url", &self.store_url), ("--bus-url", &self.bus_url)];
        all.into_iter().filter_map(|(flag, url)| Some((flag, url.as_deref()?)))
    }

    /// Each process by the name of its folder (none: as it is given) and what makes it what it is; those first that
    /// clients connect to.
    pub(crate) fn processes(&self) -> Vec<(Option<String>, Vec<String>)> {
        if self.routers == 0 {
            return vec![(None, Vec::new())];
        }
        let gateways = (1..=self.entrances()).map(|n| (format!("gateway-{n}"), "--roles=api,gateway"));
        let routers = (1..=self.routers).map(|n| (format!("router-{n}"), "--roles=router"));
        let process = |(name, roles): (String, &str)| (Some(name), vec![roles.to_owned()]);
        gateways.chain(routers).map(process).collect()
    }

    /// Whether another router takes over from one that dies.
    pub(crate) fn has_a_spare_router(&self) -> bool {
        self.routers > 1
    }

    /// How many processes clients connect to.
    pub(crate) fn entrances(&self) -> usize {
        self.gateways.max(1)
    }

    /// Flags of every process and command on an installation, by one of its data folders.
    pub(crate) fn flags(&self, data: &Path) -> Vec<String> {
        if self.is_embedded() {
            return Vec::new();
        }
        let home = data.parent().unwrap_or(data);
        let mut hasher = DefaultHasher::new();
        home.hash(&mut hasher);
        let run = format!("bench{:x}", hasher.finish());
        let mut flags: Vec<_> =
            self.urls().map(|(flag, url)| format!("{flag}={}", url.replace("{run}", &run))).collect();
        flags.push(format!("--secret={}", "no secret ".repeat(4)));
        flags.push(format!("--blobs-url=file://{}", home.join("blobs").display()));
        flags
    }

    /// As the command that gives the same table elsewhere says it.
    pub(crate) fn command_line(&self) -> String {
        let mut line: String = self.urls().map(|(flag, url)| format!(" {flag} '{url}'")).collect();
        if self.routers > 0 {
            line.push_str(&format!(" --gateways {} --routers {}", self.entrances(), self.routers));
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_of_one_installation_share_its_engines_and_no_other_does() {
        let site =
            Site { log_url: Some("kafka://k/{run}".into()), gateways: 2, routers: 1, ..Site::default() };
        let names: Vec<_> = site.processes().into_iter().filter_map(|(name, _)| name).collect();
        assert_eq!(names, ["gateway-1", "gateway-2", "router-1"]);
        let flags = |folder: &str| site.flags(Path::new(folder));
        assert_eq!(flags("/a/gateway-1"), flags("/a/router-1"));
        assert_ne!(flags("/a/data"), flags("/b/data"));
        assert!(!flags("/a/data").concat().contains('{'));
        assert_eq!(Site::default().flags(Path::new("/a/data")), Vec::<String>::new());
        assert_eq!(Site::default().processes(), [(None, Vec::new())]);
    }
}
