use clap::{Args, Subcommand};
use std::path::PathBuf;

const CODES: &str = "Exit codes: 0 done, 1 refused by the server (the reason is on stderr), 2 wrong arguments, \
                     3 the server cannot be reached, 4 not signed in.";

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make an account, or sign in to it, and keep the session for the other commands
    #[command(after_help = CODES)]
    Register(Register),
    /// Print an access token, for curl
    #[command(after_help = CODES)]
    Token(Who),
    /// Send a message
    #[command(after_help = CODES)]
    Send(Send),
    /// Make a group
    #[command(after_help = CODES)]
    Group(Group),
    /// Print the messages of a conversation, oldest first
    #[command(after_help = CODES)]
    History(History),
    /// List conversations, newest activity first
    #[command(after_help = CODES)]
    Conversations(Conversations),
    /// Follow events as they happen, through lost connections
    #[command(after_help = CODES)]
    Tail(Tail),
    /// Chat, full screen
    #[command(after_help = CODES)]
    Chat(Who),
}

/// Which server, and as whom.
#[derive(Args, Clone)]
pub(crate) struct Who {
    /// The server's address
    #[arg(long, env = "CHAT4ALL_SERVER", default_value = "http://127.0.0.1:8080", value_name = "URL")]
    pub(crate) server: String,
    /// The account's username; may be left out where only one is signed in on this machine
    #[arg(long = "as", env = "CHAT4ALL_AS", value_name = "NAME")]
    pub(crate) name: Option<String>,
}

#[derive(Args)]
pub(crate) struct Register {
    #[command(flatten)]
    pub(crate) who: Who,
    /// The password; without it and --password-stdin one is made and kept with the session
    #[arg(long, conflicts_with = "password_stdin")]
    pub(crate) password: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    pub(crate) password_stdin: bool,
    /// The name others see
    #[arg(long)]
    pub(crate) display_name: Option<String>,
    /// Print the profile as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct Send {
    #[command(flatten)]
    pub(crate) who: Who,
    /// @username, a user id, a conversation id, or whatsapp:+…
    pub(crate) to: String,
    /// The text; - reads it from standard input
    #[arg(required = true)]
    pub(crate) text: Vec<String>,
    /// Print the server's answer as JSON instead of the message id
    #[arg(long)]
    pub(crate) json: bool,
    /// Idempotency key: sending again with the same key sends nothing twice
    #[arg(long)]
    pub(crate) key: Option<String>,
}

#[derive(Args)]
pub(crate) struct Group {
    #[command(flatten)]
    pub(crate) who: Who,
    /// The group's name
    #[arg(id = "group-name", value_name = "NAME")]
    pub(crate) name: String,
    /// Its other members: @username or user ids
    pub(crate) members: Vec<String>,
    /// Print the conversation as JSON instead of its id
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct History {
    #[command(flatten)]
    pub(crate) who: Who,
    /// A conversation id, or @username for the direct conversation
    pub(crate) conversation: String,
    /// How many messages
    #[arg(long, default_value_t = 50)]
    pub(crate) limit: u32,
    /// Only messages below this seq
    #[arg(long, value_name = "SEQ")]
    pub(crate) before: Option<u64>,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct Conversations {
    #[command(flatten)]
    pub(crate) who: Who,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct Tail {
    #[command(flatten)]
    pub(crate) who: Who,
    /// Only these conversations
    pub(crate) conversations: Vec<String>,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
    /// Keep the place in this file: a tail started again misses nothing and repeats nothing
    #[arg(long, value_name = "FILE")]
    pub(crate) cursor: Option<PathBuf>,
    /// End after so many events
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// End once everything that was missed has been printed
    #[arg(long)]
    pub(crate) until_idle: bool,
}
