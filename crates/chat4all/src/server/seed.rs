//! `chat4all admin seed-users`, `seed-messages`: what benchmarks begin with. One JSON object a line.

use super::operator_link::{Stopped, say_json};
use super::settings::EngineArgs;
use chat4all_server::operator::{Opened, SeededMessages, seed_messages, seed_users};
use clap::Args;

/// Accounts to be written.
#[derive(Debug, Args)]
pub struct Users {
    /// How many
    #[arg(long)]
    count: usize,
    /// Their names begin with it; a number follows
    #[arg(long, default_value = "u")]
    prefix: String,
    #[command(flatten)]
    engines: EngineArgs,
}

/// Messages to be written.
#[derive(Debug, Args)]
pub struct Messages {
    /// How many
    #[arg(long)]
    count: usize,
    /// Groups they are shared out among
    #[arg(long)]
    conversations: usize,
    /// Members of each
    #[arg(long, default_value_t = 4)]
    members: usize,
    #[command(flatten)]
    engines: EngineArgs,
}

/// Prints `{user_id, username, access_token, refresh_token}` of each.
pub async fn users(options: &Users) -> Result<(), Stopped> {
    let opened = open(&options.engines).await?;
    let users = seed_users(&opened.accounts, options.count, &options.prefix).await;
    opened.close().await;
    for user in users.map_err(|failure| Stopped(failure.to_string()))? {
        say_json(&user)?;
    }
    Ok(())
}

/// Prints `{conversation_id, last_seq, access_token, members}` of each conversation.
pub async fn messages(options: &Messages) -> Result<(), Stopped> {
    let Messages { count, conversations, members, ref engines } = *options;
    let opened = open(engines).await?;
    let seeded = seed_messages(&opened, SeededMessages { count, conversations, members }).await;
    opened.close().await;
    for conversation in seeded? {
        say_json(&conversation)?;
    }
    Ok(())
}

/// Not through a running server: it has no way to make sessions without passwords.
async fn open(engines: &EngineArgs) -> Result<Opened, Stopped> {
    Ok(Opened::open(&engines.urls(), engines.secret.as_deref()).await?)
}
