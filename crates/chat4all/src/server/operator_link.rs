//! The way to an installation's operator's routes: through the server that has the data folder, or its engines.

use super::settings::EngineArgs;
use chat4all_server::operator::{Link, LinkError};
use std::io::Write;
use std::process::ExitCode;

/// Why an operator's command ends without having done its work, in words. Without any: whoever read its output has
/// what it wanted.
#[derive(Debug)]
pub struct Stopped(pub String);

impl From<LinkError> for Stopped {
    fn from(error: LinkError) -> Self {
        Self(error.to_string())
    }
}

impl From<std::io::Error> for Stopped {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self(String::new()),
            _ => Self(error.to_string()),
        }
    }
}

impl From<serde_json::Error> for Stopped {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

impl EngineArgs {
    /// The way to the server that has the folder, or else to the engines themselves.
    pub async fn link(&self) -> Result<Link, Stopped> {
        Ok(Link::open(&self.urls(), self.secret.as_deref()).await?)
    }

    /// The same for engines that must be there: looking at a folder that is not would make it.
    pub async fn existing(&self) -> Result<Link, Stopped> {
        if !self.urls().files().is_empty() && !self.data.is_dir() {
            let why = format!("there is no data folder {}; name it with --data", self.data.display());
            return Err(Stopped(why));
        }
        self.link().await
    }
}

/// Runs a command to its end and says why it stopped.
pub fn run(work: impl Future<Output = Result<ExitCode, Stopped>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime.map_err(Stopped::from).and_then(|runtime| runtime.block_on(work));
    outcome.unwrap_or_else(|Stopped(why)| {
        if why.is_empty() {
            return ExitCode::SUCCESS;
        }
        // Nobody to tell that nobody can be told.
        let _ = writeln!(std::io::stderr().lock(), "chat4all: {why}");
        ExitCode::FAILURE
    })
}

/// A line on standard output. A reader that has gone away (`| head`) is an error, not a panic.
pub fn say(line: &str) -> Result<(), Stopped> {
    Ok(writeln!(std::io::stdout().lock(), "{line}")?)
}

/// A value as JSON on a line of its own.
pub fn say_json(value: &impl serde::Serialize) -> Result<(), Stopped> {
    say(&serde_json::to_string(value)?)
}

/// A name as a segment of a path.
pub fn segment(name: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    name.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leaves_its_segment() {
        assert_eq!(segment("alice.b-c_1"), "alice.b-c_1");
        assert_eq!(segment("../a?b%"), "..%2Fa%3Fb%25");
    }

    #[test]
    fn a_folder_that_is_not_there_is_not_made() {
        let dir = tempfile::tempdir().unwrap();
        let folder = EngineArgs::of(&dir.path().join("data"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let stopped = runtime.block_on(folder.existing()).err().unwrap();
        assert!(stopped.0.contains("--data"), "{stopped:?}");
        assert!(!folder.data.exists());
    }
}
