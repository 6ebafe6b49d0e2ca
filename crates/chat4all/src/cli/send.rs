use super::{
    args::{Group, Send},
    failure::Failure,
    people::{self, Address},
    say,
};
use chat4all_client::model::SendMessage;
use std::io::Read;

/// More is refused by the server: 16,384 code points.
const MOST_INPUT: u64 = 64 * 1024 + 1;

/// Sends; prints the message's id once it is durable.
pub(super) async fn run(options: Send) -> Result<(), Failure> {
    let client = people::signed_in(&options.who).await?;
    let content = if options.text == ["-"] { input()? } else { options.text.join(" ") };
    let mut message = SendMessage { content: Some(content), client_id: options.key, ..Default::default() };
    match Address::parse(&options.to) {
        Address::Conversation(id) => message.conversation_id = Some(id),
        _ => message.recipient_id = Some(people::user_id(&client, &options.to).await?),
    }
    let accepted = client.send(&message).await?;
    Ok(say(&if options.json { serde_json::to_string(&accepted)? } else { accepted.message_id })?)
}

/// Standard input without its last line break.
fn input() -> std::io::Result<String> {
    let mut text = String::new();
    std::io::stdin().lock().take(MOST_INPUT).read_to_string(&mut text)?;
    if text.ends_with('\n') {
        text.pop();
    }
    Ok(text)
}

/// Makes a group; prints its id.
pub(super) async fn group(options: Group) -> Result<(), Failure> {
    let client = people::signed_in(&options.who).await?;
    let mut members = Vec::with_capacity(options.members.len());
    for member in &options.members {
        members.push(people::user_id(&client, member).await?);
    }
    let made = client.group(&options.name, members).await?;
    Ok(say(&if options.json { serde_json::to_string(&made)? } else { made.conversation_id })?)
}
