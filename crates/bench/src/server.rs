//! The processes under test: started fresh, asked to stop, killed when dropped.

use crate::http::{Connection, Request};
use crate::site::Site;
use crate::{Result, probe};
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const READY_WITHIN: Duration = Duration::from_secs(60);
const STOPPED_WITHIN: Duration = Duration::from_secs(60);

/// How to run the server.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    /// Flags of `serve` beyond folder and addresses.
    pub(crate) args: Vec<String>,
    /// On which engines, in which processes.
    pub(crate) site: Site,
}

/// A running server: one process, or several that are one installation.
#[derive(Debug)]
pub(crate) struct Server {
    processes: Vec<Process>,
    /// Where clients go: to each of these in turn.
    pub(crate) addresses: Vec<SocketAddr>,
    /// The first of them.
    pub(crate) address: SocketAddr,
}

/// A running process that listens on `address`.
#[derive(Debug)]
struct Process {
    child: Child,
    address: SocketAddr,
    /// Where its output goes.
    log: PathBuf,
}

impl Program {
    /// Starts `serve` on a data folder, without waiting for it. `more` are flags of this start only.
    pub(crate) fn spawn(&self, data: &Path, more: &[String]) -> Result<Server> {
        let mut processes = Vec::new();
        for (name, roles) in self.site.processes() {
            let data = name.as_ref().map_or(data.to_owned(), |name| data.with_file_name(name));
            let mut args = self.args.clone();
            args.extend(more.iter().cloned());
            args.extend(roles);
            processes.push(self.spawn_one(&data, args)?);
        }
        let addresses: Vec<_> =
            processes.iter().take(self.site.entrances()).map(|process| process.address).collect();
        let address = *addresses.first().ok_or("nobody serves clients")?;
        Ok(Server { processes, addresses, address })
    }

    fn spawn_one(&self, data: &Path, args: Vec<String>) -> Result<Process> {
        let address = free_address()?;
        let mut command = Command::new(&self.path);
        command.arg("serve").arg("--data").arg(data);
        command.args(["--listen", &address.to_string(), "--ops-listen", &free_address()?.to_string()]);
        command.args(self.site.flags(data)).args(args);
        Process::spawn(command, address, data.with_extension("log"))
    }

    /// Starts `serve` and waits until it is ready.
    pub(crate) async fn start(&self, data: &Path, more: &[String]) -> Result<Server> {
        let mut server = self.spawn(data, more)?;
        server.wait_ready().await?;
        Ok(server)
    }

    /// Runs another subcommand to its end; gives its output. What fails names the subcommand.
    pub(crate) async fn output(&self, args: Vec<String>) -> Result<String> {
        let mut command = Command::new(&self.path);
        command.args(&args).stdin(Stdio::null()).stderr(Stdio::inherit());
        let output = tokio::task::spawn_blocking(move || command.output()).await?;
        let output = output.map_err(|error| format!("the server cannot be started: {error}"))?;
        if !output.status.success() {
            let name = args.get(..2).unwrap_or(&args).join(" ");
            return Err(format!("{name} failed: {}", output.status).into());
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

impl Server {
    /// Starts one of the limits, which is this program with another subcommand, and waits for its port.
    pub(crate) async fn limit(folder: &Path, subcommand: &str) -> Result<Self> {
        let address = free_address()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args([subcommand, "--listen", &address.to_string()]);
        let process = Process::spawn(command, address, folder.join("limit.log"))?;
        let mut server = Self { processes: vec![process], addresses: vec![address], address };
        server.wait_port(Duration::from_millis(2)).await?;
        Ok(server)
    }

    /// Of all processes.
    pub(crate) fn cpu_time(&self) -> Result<Duration> {
        self.processes.iter().map(|process| probe::cpu_time(process.pid())).sum()
    }

    /// Resident memory of all processes in KiB.
    pub(crate) fn rss_kib(&self) -> Result<f64> {
        self.processes.iter().map(|process| probe::rss_kib(process.pid())).sum()
    }

    /// The most of it since the start or since `reset_peak`; of several processes the sum of each one's.
    pub(crate) fn peak_rss_kib(&self) -> Result<f64> {
        self.processes.iter().map(|process| probe::peak_rss_kib(process.pid())).sum()
    }

    /// The peak is counted anew from here.
    pub(crate) fn reset_peak(&self) -> Result<()> {
        self.processes.iter().try_for_each(|process| probe::reset_peak(process.pid()))
    }

    /// Kills the last of several processes, which is a router.
    pub(crate) fn kill_last(&mut self) -> Result<()> {
        if self.processes.len() < 2 {
            return Err("there is no other process to take over".into());
        }
        // Killed by its drop.
        drop(self.processes.pop());
        Ok(())
    }

    /// Waits until the port takes connections, asking at this interval.
    pub(crate) async fn wait_port(&mut self, interval: Duration) -> Result<()> {
        for process in &mut self.processes {
            process.wait_port(interval).await?;
        }
        Ok(())
    }

    async fn wait_ready(&mut self) -> Result<()> {
        for process in &mut self.processes {
            process.wait_ready().await?;
        }
        Ok(())
    }

    /// Stops it as an operator would, so that what it holds back is written.
    pub(crate) async fn stop(mut self) -> Result<()> {
        for process in &self.processes {
            Command::new("kill").args(["-TERM", &process.pid().to_string()]).status()?;
        }
        for process in &mut self.processes {
            process.stopped().await?;
        }
        Ok(())
    }
}

impl Process {
    fn spawn(mut command: Command, address: SocketAddr, log: PathBuf) -> Result<Self> {
        let file = File::options().create(true).append(true).open(&log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().map_err(|error| format!("the server cannot be started: {error}"))?;
        Ok(Self { child, address, log })
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    async fn wait_port(&mut self, interval: Duration) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        while tokio::net::TcpStream::connect(self.address).await.is_err() {
            self.still_there(deadline)?;
            sleep(interval).await;
        }
        Ok(())
    }

    async fn wait_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            self.wait_port(Duration::from_millis(5)).await?;
            let ask = Request { method: "GET", path: "/ready", ..Request::default() };
            let mut connection = Connection::open(self.address).await?;
            if matches!(connection.send(ask).await, Ok(answer) if answer.status == 200) {
                return Ok(());
            }
            self.still_there(deadline)?;
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn still_there(&mut self, deadline: Instant) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            return Err(format!("the server ended with {status}:\n{}", self.last_words()).into());
        }
        if Instant::now() > deadline {
            return Err(format!("the server is not ready in time:\n{}", self.last_words()).into());
        }
        Ok(())
    }

    /// The end of its output, for an error.
    fn last_words(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(15)..).unwrap_or_default().join("\n")
    }

    async fn stopped(&mut self) -> Result<()> {
        let deadline = Instant::now() + STOPPED_WITHIN;
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => {
                    return Err(format!("the server stopped with {status}:\n{}", self.last_words()).into());
                }
                None if Instant::now() > deadline => return Err("the server does not stop".into()),
                None => sleep(Duration::from_millis(10)).await,
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only for a process that has ended and been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
