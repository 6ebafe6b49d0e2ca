use chat4all_model::api::Problem;

/// Why a call did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server refused, and says why.
    #[error("{}", .0.detail)]
    Problem(Box<Problem>),
    /// The server cannot be reached, or the connection broke.
    #[error("cannot reach the server: {}", innermost(.0))]
    Transport(#[source] reqwest::Error),
    /// The live connection cannot be made, or broke.
    #[error("live connection: {0}")]
    Socket(#[source] Box<tokio_tungstenite::tungstenite::Error>),
    /// Something answered, but not as the API says: most likely not a Chat4All server.
    #[error("unexpected answer (status {status}): {detail}")]
    Answer {
        /// The HTTP status.
        status: u16,
        /// What was wrong with it.
        detail: String,
    },
    /// The call needs a session: register, log in or set one first.
    #[error("not signed in")]
    NotSignedIn,
    /// The address of the server is no `http` or `https` URL.
    #[error("not the address of a server: {0}")]
    Address(String),
    /// The live connection has ended for good.
    #[error("the live connection has ended")]
    Ended,
    /// As many sends as the outbox holds wait for their acknowledgement.
    #[error("too many unacknowledged sends")]
    OutboxFull,
    /// The session could not be stored.
    #[error("cannot store the session: {0}")]
    Store(#[source] std::io::Error),
}

impl ClientError {
    /// The stable code of a refusal.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.problem().map(|problem| problem.code.as_str())
    }

    /// The server's own words of a refusal.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem(problem) => Some(problem),
            _ => None,
        }
    }

    /// Whether the session itself is refused, so that only signing in again helps.
    #[must_use]
    pub fn ends_session(&self) -> bool {
        match self {
            Self::NotSignedIn => true,
            Self::Problem(problem) => problem.status == 401,
            _ => false,
        }
    }
}

/// The cause at the end of the chain ("connection refused") says more than the wrappers around it.
fn innermost(error: &reqwest::Error) -> String {
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}
