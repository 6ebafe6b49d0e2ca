//! The server under the storm: one folder and one port, however often it dies.

use super::Result;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

const READY_WITHIN: Duration = Duration::from_secs(60);
const STOPPED_WITHIN: Duration = Duration::from_secs(30);

/// The server's process, or the place of one.
#[derive(Debug)]
pub struct Process {
    program: PathBuf,
    args: Vec<String>,
    data: PathBuf,
    address: SocketAddr,
    ops: SocketAddr,
    child: Option<Child>,
    /// How long each start took until it was ready.
    pub starts: Vec<Duration>,
}

impl Process {
    /// The place of a server on a data folder, with free ports and these flags.
    ///
    /// # Errors
    /// If there is no free port.
    pub fn new(program: &Path, data: &Path, args: &[&str]) -> Result<Self> {
        let (one, two) =
            (TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?, TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?);
        Ok(Self {
            program: program.to_owned(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            data: data.to_owned(),
            address: one.local_addr()?,
            ops: two.local_addr()?,
            child: None,
            starts: Vec::new(),
        })
    }

    /// Where it serves.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its output so far.
    #[must_use]
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log()).unwrap_or_default()).into_owned()
    }

    fn log(&self) -> PathBuf {
        self.data.with_extension("log")
    }

    /// The command that starts it, for a caller that wraps it.
    #[must_use]
    pub fn command(&self) -> Vec<String> {
        let mut line = vec![self.program.display().to_string(), "serve".into(), "--data".into()];
        line.extend([self.data.display().to_string(), "--listen".into(), self.address.to_string()]);
        line.extend(["--ops-listen".into(), self.ops.to_string()]);
        line.extend(self.args.iter().cloned());
        line
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// If it ends instead, or takes too long.
    pub async fn start(&mut self) -> Result<()> {
        let line = self.command();
        self.start_as(&line).await
    }

    /// Starts it by another command line and waits until it is ready.
    ///
    /// # Errors
    /// If it ends instead, or takes too long.
    pub async fn start_as(&mut self, line: &[String]) -> Result<()> {
        let [program, args @ ..] = line else { return Err("an empty command".into()) };
        let begun = Instant::now();
        let file = File::options().create(true).append(true).open(self.log())?;
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        self.child = Some(command.spawn().map_err(|error| format!("{program}: {error}"))?);
        while self.ready().await != Some(200) {
            if let Some(end) = self.ended()? {
                return Err(format!("the server ended with {end}:\n{}", self.last_words()).into());
            }
            if begun.elapsed() > READY_WITHIN {
                return Err(format!("the server is not ready in time:\n{}", self.last_words()).into());
            }
            sleep(Duration::from_millis(5)).await;
        }
        self.starts.push(begun.elapsed());
        Ok(())
    }

    /// The status of `/ready`; none if nobody answers.
    pub async fn ready(&self) -> Option<u16> {
        let asking = async {
            let mut stream = TcpStream::connect(self.ops).await.ok()?;
            stream
                .write_all(b"GET /ready HTTP/1.1\r\nHost: server\r\nConnection: close\r\n\r\n")
                .await
                .ok()?;
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).await.ok()?;
            std::str::from_utf8(answer.get(9..)?).ok()?.parse().ok()
        };
        timeout(Duration::from_secs(2), asking).await.ok().flatten()
    }

    /// How it ended, if it did so by itself.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn ended(&mut self) -> Result<Option<std::process::ExitStatus>> {
        Ok(match &mut self.child {
            Some(child) => child.try_wait()?,
            None => None,
        })
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// If it had ended by itself.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(end) = self.ended()? {
            return Err(format!("the server had ended by itself with {end}:\n{}", self.last_words()).into());
        }
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Sends it a signal (`STOP`, `CONT`, `TERM`).
    ///
    /// # Errors
    /// If there is no such process.
    pub async fn signal(&self, name: &str) -> Result<()> {
        let Some(child) = &self.child else { return Err("the server does not run".into()) };
        let (flag, pid) = (format!("-{name}"), child.id().to_string());
        let sent =
            tokio::task::spawn_blocking(move || Command::new("kill").args([flag, pid]).status()).await??;
        if sent.success() { Ok(()) } else { Err(format!("kill -{name} failed").into()) }
    }

    /// Stops it as an operator would.
    ///
    /// # Errors
    /// If it does not stop, or not with success.
    pub async fn stop(&mut self) -> Result<()> {
        self.signal("TERM").await?;
        let deadline = Instant::now() + STOPPED_WITHIN;
        loop {
            match self.ended()? {
                Some(end) if end.success() => break,
                Some(end) => {
                    return Err(format!("the server stopped with {end}:\n{}", self.last_words()).into());
                }
                None if Instant::now() > deadline => return Err("the server does not stop".into()),
                None => sleep(Duration::from_millis(5)).await,
            }
        }
        self.child = None;
        Ok(())
    }

    fn last_words(&self) -> String {
        let text = self.output();
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(15)..).unwrap_or_default().join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // Both fail only for a process that has ended and been waited for.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
