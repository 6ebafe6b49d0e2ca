//! People and conversations to measure with. Passwords are left out: hashing 8,000 of them takes minutes.

use crate::http::{Connection, Request};
use crate::server::{Program, Server};
use crate::{Fault, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::cell::Cell;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use tempfile::TempDir;
use tokio::task::JoinSet;

/// The most people one request may name.
const PEOPLE_A_REQUEST: usize = 500;
const CONNECTIONS: usize = 64;

/// Somebody who is logged in; a line of `admin seed-users`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct User {
    pub(crate) user_id: String,
    pub(crate) access_token: String,
}

/// A group and its members, who were given in this order.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) conversation_id: String,
    pub(crate) members: Vec<Rc<User>>,
}

/// A running server with people in groups, on a folder of its own.
pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) groups: Vec<Group>,
    /// Dropped last: the server writes there.
    pub(crate) folder: TempDir,
}

impl World {
    /// `groups` groups of `size` people each; nobody is in two. With `restart_args` the server is started again with
    /// these flags once the groups are there.
    pub(crate) async fn start(
        program: &Program,
        groups: usize,
        size: usize,
        restart_args: &[String],
    ) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("data");
        let users = seed_users(program, &data, groups * size).await?;
        let mut server = program.start(&data, &[]).await?;
        let groups = create_groups(server.address, &users, size).await?;
        if !restart_args.is_empty() {
            server.stop().await?;
            server = program.start(&data, restart_args).await?;
        }
        Ok(Self { server, groups, folder })
    }
}

/// Writes users into a data folder that no server has open.
pub(crate) async fn seed_users(program: &Program, data: &Path, count: usize) -> Result<Vec<Rc<User>>> {
    let users: Vec<User> = seed(program, "seed-users", data, &[("--count", count), ("--prefix", 0)]).await?;
    if users.len() != count {
        return Err(format!("{} users instead of {count}", users.len()).into());
    }
    Ok(users.into_iter().map(Rc::new).collect())
}

/// Runs `admin SUBCOMMAND`, which prints one JSON object a line. `--prefix` is always `u`.
pub(crate) async fn seed<T: DeserializeOwned>(
    program: &Program,
    subcommand: &str,
    data: &Path,
    options: &[(&str, usize)],
) -> Result<Vec<T>> {
    let mut args = vec!["admin".to_owned(), subcommand.to_owned()];
    args.extend(["--data".to_owned(), data.display().to_string()]);
    args.extend(program.site.flags(data));
    for (name, value) in options {
        let value = if *name == "--prefix" { "u".to_owned() } else { value.to_string() };
        args.extend([(*name).to_owned(), value]);
    }
    let output = program.output(args).await?;
    let mut lines = Vec::new();
    for line in output.lines().filter(|line| line.starts_with('{')) {
        lines.push(
            serde_json::from_str(line).map_err(|error| format!("{subcommand} printed {line}: {error}"))?,
        );
    }
    Ok(lines)
}

async fn create_groups(address: SocketAddr, users: &[Rc<User>], size: usize) -> Result<Vec<Group>> {
    let all: Rc<Vec<Vec<Rc<User>>>> = Rc::new(users.chunks(size).map(<[Rc<User>]>::to_vec).collect());
    let next = Rc::new(Cell::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..CONNECTIONS.min(all.len()) {
        let (all, next) = (Rc::clone(&all), Rc::clone(&next));
        tasks.spawn_local(async move {
            let mut connection = Connection::open(address).await?;
            let mut made = Vec::new();
            while let Some(members) = all.get(next.replace(next.get() + 1)) {
                made.push(create_group(&mut connection, members).await?);
            }
            Ok::<_, Fault>(made)
        });
    }
    let mut groups = Vec::new();
    while let Some(made) = tasks.join_next().await {
        groups.extend(made??);
    }
    Ok(groups)
}

async fn create_group(connection: &mut Connection, members: &[Rc<User>]) -> Result<Group> {
    #[derive(Deserialize)]
    struct Created {
        conversation_id: String,
    }
    let ids: Vec<&str> = members.iter().map(|user| user.user_id.as_str()).collect();
    let mut chunks = ids.chunks(PEOPLE_A_REQUEST);
    let admin = members.first().map(|user| user.access_token.as_str());
    let body =
        json!({"type": "group", "participant_ids": chunks.next().unwrap_or_default(), "name": "bench"});
    let created: Created = post(connection, "/v1/conversations", admin, &body).await?;
    for chunk in chunks {
        let path = format!("/v1/conversations/{}/participants", created.conversation_id);
        let _: serde::de::IgnoredAny = post(connection, &path, admin, &json!({"user_ids": chunk})).await?;
    }
    Ok(Group { conversation_id: created.conversation_id, members: members.to_vec() })
}

async fn post<T: DeserializeOwned>(
    connection: &mut Connection,
    path: &str,
    token: Option<&str>,
    body: &serde_json::Value,
) -> Result<T> {
    let body = body.to_string();
    let request = Request { method: "POST", path, token, body: Some(body.as_bytes()), ..Request::default() };
    let answer = connection.send(request).await?;
    // An empty answer (204) reads as null.
    let json: &[u8] = if answer.body.is_empty() { b"null" } else { answer.body };
    match answer.status {
        200 | 201 | 204 => Ok(serde_json::from_slice(json)?),
        status => Err(format!("POST {path}: {status} {}", String::from_utf8_lossy(answer.body)).into()),
    }
}
