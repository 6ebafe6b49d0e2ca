//! Redis servers of a test's own, which it may kill.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub const PATIENCE: Duration = Duration::from_secs(30);

/// Whether there are servers to be had on this machine.
pub fn are_there() -> bool {
    ["redis-server", "redis-cli"].iter().all(|program| {
        Command::new(program)
            .arg("--version")
            .stdout(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    })
}

/// A server, on a port and in a folder of its own. Killed when dropped.
pub struct Server {
    pub port: u16,
    folder: TempDir,
    arguments: Vec<String>,
    process: Child,
}

impl Server {
    /// Starts a server that keeps nothing on disk, with more `arguments`, and waits until it answers.
    pub async fn start(arguments: &[&str]) -> Self {
        let arguments = ["--save", ""].iter().chain(arguments).map(ToString::to_string).collect();
        Self::run(tempfile::tempdir().unwrap(), free_port(), arguments).await
    }

    /// Starts a Sentinel that watches the server on port `master`.
    pub async fn sentinel(master: u16) -> Self {
        let port = free_port();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sentinel.conf");
        let lines = [
            format!("sentinel monitor m 127.0.0.1 {master} 2"),
            "sentinel down-after-milliseconds m 1000".to_owned(),
            "sentinel failover-timeout m 5000".to_owned(),
        ];
        std::fs::write(&file, lines.join("\n")).unwrap();
        let arguments = vec![file.display().to_string(), "--sentinel".to_owned()];
        Self::run(folder, port, arguments).await
    }

    async fn run(folder: TempDir, port: u16, arguments: Vec<String>) -> Self {
        let process = spawn(&folder, port, &arguments);
        let server = Self { port, folder, arguments, process };
        server.wait_for_answer().await;
        server
    }

    /// As by `kill -9`.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Again on its port, in its folder.
    pub async fn restart(&mut self) {
        self.process = spawn(&self.folder, self.port, &self.arguments);
        self.wait_for_answer().await;
    }

    /// Sends a signal: `STOP` pauses it, `CONT` lets it go on.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.process.id().to_string()).status();
        assert!(status.unwrap().success());
    }

    /// What it answers to a command, as `redis-cli` prints it.
    pub fn ask(&self, command: &str) -> String {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string()])
            .args(command.split(' '))
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    async fn wait_for_answer(&self) {
        wait_until("a server answers", || {
            let answer = self.ask("PING");
            answer == "PONG" || answer.contains("NOAUTH")
        })
        .await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have been killed already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(folder: &TempDir, port: u16, arguments: &[String]) -> Child {
    // A configuration file comes first.
    let (file, arguments) = match arguments.first() {
        Some(file) if !file.starts_with("--") => (Some(file), &arguments[1..]),
        _ => (None, arguments),
    };
    Command::new("redis-server")
        .args(file)
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--dir", &folder.path().display().to_string()])
        .args(arguments)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// Waits until something holds that the servers say.
pub async fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A primary, its replica, and three Sentinels that have found each other.
pub struct Watched {
    pub primary: Server,
    pub replica: Server,
    pub sentinels: Vec<Server>,
}

impl Watched {
    pub async fn start() -> Self {
        let primary = Server::start(&["--repl-diskless-sync-delay", "0"]).await;
        let replica = Server::start(&["--replicaof", "127.0.0.1", &primary.port.to_string()]).await;
        let mut sentinels = Vec::new();
        for _ in 0..3 {
            sentinels.push(Server::sentinel(primary.port).await);
        }
        for sentinel in &sentinels {
            wait_until("a Sentinel knows all others", || {
                let master = sentinel.ask("SENTINEL MASTER m");
                let lines: Vec<&str> = master.lines().collect();
                let says = |name: &str, value: &str| lines.windows(2).any(|two| two == [name, value]);
                says("num-slaves", "1") && says("num-other-sentinels", "2")
            })
            .await;
        }
        Self { primary, replica, sentinels }
    }

    pub fn url(&self) -> String {
        let ports: Vec<String> = self.sentinels.iter().map(|s| format!("127.0.0.1:{}", s.port)).collect();
        format!("redis+sentinel://{}/m", ports.join(","))
    }
}

/// Three nodes with a third of the slots each.
pub struct Cluster {
    pub nodes: Vec<Server>,
}

impl Cluster {
    pub const SLOTS: [std::ops::RangeInclusive<u16>; 3] = [0..=5460, 5461..=10922, 10923..=16383];

    pub async fn start() -> Self {
        let mut nodes = Vec::new();
        for _ in 0..3 {
            let bus = free_port().to_string();
            let settings =
                "--cluster-enabled yes --cluster-node-timeout 1000 --cluster-require-full-coverage no";
            let arguments: Vec<&str> = settings.split(' ').chain(["--cluster-port", &bus]).collect();
            nodes.push(Server::start(&arguments).await);
        }
        for (node, slots) in nodes.iter().zip(Self::SLOTS) {
            node.ask(&format!("CLUSTER ADDSLOTSRANGE {} {}", slots.start(), slots.end()));
        }
        let addresses: Vec<String> =
            nodes.iter().map(|node| format!("127.0.0.1 {} {}", node.port, node.bus())).collect();
        for node in &nodes {
            for address in &addresses {
                node.ask(&format!("CLUSTER MEET {address}"));
            }
        }
        let cluster = Self { nodes };
        cluster.wait_until_whole().await;
        cluster
    }

    pub async fn wait_until_whole(&self) {
        for node in &self.nodes {
            wait_until("a node sees the whole Cluster", || {
                let info = node.ask("CLUSTER INFO");
                info.contains("cluster_state:ok") && info.contains("cluster_slots_ok:16384")
            })
            .await;
        }
    }

    pub fn url(&self) -> String {
        let ports: Vec<String> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        format!("redis+cluster://{}", ports.join(","))
    }

    /// The node that has a key, by its place.
    pub fn owner(&self, key: &str) -> usize {
        let slot: u16 = self.nodes[0].ask(&format!("CLUSTER KEYSLOT {key}")).parse().unwrap();
        Self::SLOTS.iter().position(|slots| slots.contains(&slot)).unwrap()
    }
}

impl Server {
    fn bus(&self) -> &str {
        self.arguments.last().map_or("", String::as_str)
    }

    pub fn id(&self) -> String {
        self.ask("CLUSTER MYID")
    }
}
