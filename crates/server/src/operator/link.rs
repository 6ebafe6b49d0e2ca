//! Speaking to the operator's routes: over the socket of a running server, or in process.

use super::{Operator, OperatorProblem, router};
use crate::account::{AccountService, AccountSettings, Ambient};
use crate::clock::system_clock;
use crate::health::Health;
use crate::installation::{EngineUrls, Installation};
use crate::shutdown::Shutdown;
use axum::Router;
use axum::body::Body;
use chat4all_backend::ErrorKind;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Limited};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Display;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::net::{UnixListener, UnixStream};
use tower::ServiceExt;

/// The socket's name in the data folder.
const SOCKET: &str = "operator.sock";
/// A socket's path can hardly be longer.
const MAX_SOCKET_PATH: usize = 100;
/// How long an operator's request may go on once the end was asked for.
const DRAIN: Duration = Duration::from_secs(2);
/// An answer is never longer.
const MAX_ANSWER: usize = 64 << 20;

/// Why an operator's request was not done.
#[derive(Debug, Error)]
pub enum LinkError {
    /// It was refused.
    #[error("{}", .0.detail)]
    Refused(OperatorProblem),
    /// The folder, its secret or its engines cannot be used; in words for the operator.
    #[error("{0}")]
    Folder(String),
    /// The server went away, or does not answer as it should.
    #[error("the running server did not answer: {0}")]
    Server(String),
}

/// The way to the operator's routes.
pub enum Link {
    /// A server has this folder.
    Running(PathBuf),
    /// Nobody had it; it is ours until [`close`](Self::close).
    Opened(Box<Opened>),
}

/// An installation's engines, opened for an operator.
pub struct Opened {
    router: Router,
    /// The engines.
    pub installation: Installation,
    /// The use-cases of accounts over them.
    pub accounts: Arc<AccountService>,
}

impl Link {
    /// The way to a folder's server, if one runs.
    pub async fn to_running(folder: &Path) -> Option<Self> {
        connect(folder).await.is_ok().then(|| Self::Running(folder.to_owned()))
    }

    /// The way to the server that has the data folder, or else the engines themselves, made if they are not there.
    /// `secret` is that of the settings, if they give one.
    ///
    /// # Errors
    /// `Folder`.
    pub async fn open(urls: &EngineUrls, secret: Option<&str>) -> Result<Self, LinkError> {
        match Self::to_running(&urls.data).await {
            Some(running) => Ok(running),
            None => Ok(Self::Opened(Box::new(Opened::open(urls, secret).await?))),
        }
    }

    /// Reads.
    ///
    /// # Errors
    /// As of [`call`](Self::call).
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, LinkError> {
        self.call(Method::GET, path, None::<&()>).await
    }

    /// Does something.
    ///
    /// # Errors
    /// As of [`call`](Self::call).
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T, LinkError> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Takes something away.
    ///
    /// # Errors
    /// As of [`call`](Self::call).
    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, LinkError> {
        self.call(Method::DELETE, path, None::<&()>).await
    }

    /// Asks, and gives the answer.
    ///
    /// # Errors
    /// `Refused` with what the routes say, `Server`.
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<T, LinkError> {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, "operator");
        let body = match body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Body::from(serde_json::to_vec(body).map_err(server)?)
            }
            None => Body::empty(),
        };
        let request = request.body(body).map_err(server)?;
        let response = match self {
            Self::Running(folder) => {
                let stream = TokioIo::new(connect(folder).await.map_err(server)?);
                let (mut sender, connection) =
                    hyper::client::conn::http1::handshake(stream).await.map_err(server)?;
                // Ends when the answer is read and the sender dropped; what fails there fails the answer too.
                tokio::spawn(connection);
                sender.send_request(request).await.map_err(server)?.map(Body::new)
            }
            Self::Opened(opened) => opened.router.clone().oneshot(request).await.map_err(server)?,
        };
        let status = response.status();
        let answer =
            Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(server)?.to_bytes();
        if status.is_success() {
            return serde_json::from_slice(&answer).map_err(server);
        }
        Err(serde_json::from_slice(&answer).map_or_else(
            |_| LinkError::Server(format!("{status} {}", String::from_utf8_lossy(&answer))),
            LinkError::Refused,
        ))
    }

    /// Lets go of the folder, if it was opened.
    pub async fn close(self) {
        if let Self::Opened(opened) = self {
            opened.close().await;
        }
    }
}

impl Opened {
    /// Opens the engines, making what is not there.
    ///
    /// # Errors
    /// `Folder`.
    pub async fn open(urls: &EngineUrls, secret: Option<&str>) -> Result<Self, LinkError> {
        let opened = Installation::open(urls, &system_clock()).await;
        let installation = opened.map_err(|error| match error.kind {
            ErrorKind::Conflict => LinkError::Folder(format!(
                "{error} (a server that is starting or stopping does not answer: try again in a moment)"
            )),
            _ => refused(error),
        })?;
        let secret = urls.secret(secret).map_err(refused)?;
        let ambient = Ambient::system();
        let engines = installation.engines.clone();
        let accounts = AccountService::open(
            Arc::clone(&engines.accounts),
            Arc::clone(&engines.bus),
            &secret,
            ambient.clone(),
            AccountSettings::default(),
        );
        let accounts = accounts.await.map_err(refused)?;
        let operator = Operator {
            accounts: Arc::clone(&accounts),
            engines,
            health: Health::default(),
            ambient,
            folder: installation.folder().map(|folder| folder.path().to_owned()),
            running: false,
        };
        Ok(Self { router: router(operator), installation, accounts })
    }

    /// Writes what waits and lets go of the engines.
    pub async fn close(self) {
        let Self { router, installation, accounts } = self;
        drop((router, accounts));
        installation.close().await;
    }
}

fn refused(error: impl Display) -> LinkError {
    LinkError::Folder(error.to_string())
}

fn server(error: impl Display) -> LinkError {
    LinkError::Server(error.to_string())
}

/// Serves the operator's routes on the socket of a data folder until `shutdown`. The folder is this process's, so
/// that a socket that is there is of a process that is gone.
///
/// # Errors
/// If the socket cannot be made.
pub async fn serve(folder: &Path, router: Router, shutdown: Shutdown) -> io::Result<()> {
    let (path, _held) = socket(folder)?;
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Made by us the folder is for its owner alone, so that nobody else connects before the mode is set.
    let listener = UnixListener::bind(&path)?;
    fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    let (mut asked, mut late) = (shutdown.clone(), shutdown);
    let serving = axum::serve(listener, router).with_graceful_shutdown(async move { asked.asked().await });
    let served = tokio::select! {
        served = serving.into_future() => served,
        () = async { late.asked().await; tokio::time::sleep(DRAIN).await } => Ok(()),
    };
    fs::remove_file(&path)?;
    served
}

async fn connect(folder: &Path) -> io::Result<UnixStream> {
    let (path, _held) = socket(folder)?;
    UnixStream::connect(path).await
}

/// The socket's path; for a long one, a short way there that is good as long as the file is held.
fn socket(folder: &Path) -> io::Result<(PathBuf, Option<File>)> {
    let path = folder.join(SOCKET);
    if path.as_os_str().len() < MAX_SOCKET_PATH {
        return Ok((path, None));
    }
    let held = File::open(folder)?;
    Ok((PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", held.as_raw_fd())), Some(held)))
}
