//! `chat4all admin`: people, invites and the audit log, with a server running or not.

use super::logging::moment;
use super::operator_link::{Stopped, run as run_to_end, say, say_json, segment};
use super::seed;
use super::settings::{EngineArgs, Span};
use chat4all_model::api::{Me, Page};
use chat4all_server::operator::{AuditView, Invite, InviteRequest, Link, Named, NewPassword};
use clap::{Args, Subcommand};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::process::ExitCode;

/// What an operator does to accounts.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make somebody an administrator
    Grant(Who),
    /// Take it away again, and end the sessions
    Revoke(Who),
    /// Set a new password, end the sessions, and print the password
    ResetPassword(Who),
    /// List all accounts, oldest first
    Users(List),
    /// Print a code that lets one person sign up
    Invite {
        /// How long it is good (`7d`, `12h`, `30m`)
        #[arg(long, default_value = "7d")]
        ttl: Span,
        #[command(flatten)]
        engines: EngineArgs,
    },
    /// Print who changed what, newest first
    Audit(List),
    /// Write signed-in accounts without passwords, for benchmarks
    #[command(hide = true)]
    SeedUsers(seed::Users),
    /// Write conversations with a past, for benchmarks
    #[command(hide = true)]
    SeedMessages(seed::Messages),
}

/// An account.
#[derive(Debug, Args)]
pub struct Who {
    /// The username.
    name: String,
    #[command(flatten)]
    engines: EngineArgs,
}

/// A list.
#[derive(Debug, Args)]
pub struct List {
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    engines: EngineArgs,
}

/// Runs the command.
pub fn run(command: Command) -> ExitCode {
    run_to_end(async {
        match command {
            Command::Grant(who) => grant(&who).await?,
            Command::Revoke(who) => revoke(&who).await?,
            Command::ResetPassword(who) => reset_password(&who).await?,
            Command::Users(list) => users(&list).await?,
            Command::Invite { ttl, engines } => invite(ttl, &engines).await?,
            Command::Audit(list) => audit(&list).await?,
            Command::SeedUsers(options) => seed::users(&options).await?,
            Command::SeedMessages(options) => seed::messages(&options).await?,
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn grant(who: &Who) -> Result<(), Stopped> {
    let link = who.engines.existing().await?;
    let me: Me = link.post("/admins", &Named { username: who.name.clone() }).await?;
    say(&format!(
        "{} is an administrator; a session that is open learns of it when it refreshes",
        me.username
    ))?;
    link.close().await;
    Ok(())
}

async fn revoke(who: &Who) -> Result<(), Stopped> {
    let link = who.engines.existing().await?;
    let me: Me = link.delete(&format!("/admins/{}", segment(&who.name))).await?;
    say(&format!("{} is no administrator", me.username))?;
    link.close().await;
    Ok(())
}

async fn reset_password(who: &Who) -> Result<(), Stopped> {
    let link = who.engines.existing().await?;
    let new: NewPassword = link.post("/password", &Named { username: who.name.clone() }).await?;
    say(&new.password)?;
    link.close().await;
    Ok(())
}

async fn invite(ttl: Span, engines: &EngineArgs) -> Result<(), Stopped> {
    let link = engines.link().await?;
    let invite: Invite = link.post("/invites", &InviteRequest { ttl_seconds: ttl.0.as_secs() }).await?;
    say(&invite.invite)?;
    link.close().await;
    Ok(())
}

async fn users(list: &List) -> Result<(), Stopped> {
    each(list, "/users", |me: &Me| {
        let kind = if me.permissions.is_empty() { "-".to_owned() } else { me.permissions.join(",") };
        format!("{}  {}  {:<32}  {kind}", moment(me.created_at), me.user_id, me.username)
    })
    .await
}

async fn audit(list: &List) -> Result<(), Stopped> {
    each(list, "/audit", |entry: &AuditView| {
        let target = entry.target.as_deref().unwrap_or("-");
        let detail = entry.detail.as_deref().unwrap_or_default();
        format!("{}  {}  {}  {target}  {detail}", moment(entry.at), entry.actor, entry.action)
    })
    .await
}

async fn each<T: DeserializeOwned + Serialize>(
    list: &List,
    path: &str,
    line: impl Fn(&T) -> String,
) -> Result<(), Stopped> {
    let link = list.engines.existing().await?;
    all(&link, path, |item: T| if list.json { say_json(&item) } else { say(line(&item).trim_end()) }).await?;
    link.close().await;
    Ok(())
}

/// Every entry of a list, page by page.
pub(super) async fn all<T: DeserializeOwned>(
    link: &Link,
    path: &str,
    mut with: impl FnMut(T) -> Result<(), Stopped>,
) -> Result<(), Stopped> {
    let mut next: Option<String> = None;
    loop {
        let cursor = next.map(|next| format!("&cursor={}", segment(&next))).unwrap_or_default();
        let page: Page<T> = link.get(&format!("{path}?limit=200{cursor}")).await?;
        for item in page.items {
            with(item)?;
        }
        next = page.next;
        if next.is_none() {
            return Ok(());
        }
    }
}
