use super::{note, text::clean};
use chat4all_client::ClientError;
use std::process::ExitCode;

/// Why a command ends without having done its work.
#[derive(Debug)]
pub(super) enum Failure {
    Client(ClientError),
    Io(std::io::Error),
    /// Something the person can mend, in words.
    Said(String),
    NotSignedIn(String),
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::Io(error.into())
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Client(error) => f.write_str(&describe(error)),
            Self::Io(error) => error.fmt(f),
            Self::Said(line) | Self::NotSignedIn(line) => f.write_str(line),
        }
    }
}

/// Says it and gives the exit code.
pub(super) fn report(failure: &Failure) -> ExitCode {
    let code = match failure {
        // `tail | head` has what it wanted.
        Failure::Io(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return ExitCode::SUCCESS,
        Failure::Io(_) | Failure::Said(_) => 1,
        Failure::NotSignedIn(_) => 4,
        Failure::Client(error) => client_code(error),
    };
    note(&format!("chat4all: {}", clean(&failure.to_string())));
    ExitCode::from(code)
}

fn client_code(error: &ClientError) -> u8 {
    match error {
        error if error.ends_session() => 4,
        ClientError::Transport(_) | ClientError::Socket(_) => 3,
        ClientError::Address(_) => 2,
        _ => 1,
    }
}

/// The server's words, every field it names, and the id to report.
fn describe(error: &ClientError) -> String {
    let Some(problem) = error.problem() else { return error.to_string() };
    let mut line = problem.detail.clone();
    for field in &problem.errors {
        line += &format!("\n  {}: {}", field.field, field.message);
    }
    line + &format!("\n  ({}, request {})", problem.code, problem.request_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat4all_client::model::Problem;

    #[test]
    fn names_the_request() {
        let problem: Problem = serde_json::from_value(serde_json::json!({
            "type": "about:blank", "title": "t", "status": 403, "detail": "not an admin", "code": "forbidden",
            "request_id": "r-1"
        }))
        .unwrap();
        let line = describe(&ClientError::Problem(Box::new(problem)));
        assert!(line.contains("not an admin") && line.contains("r-1"), "{line}");
    }
}
