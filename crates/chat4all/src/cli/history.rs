use super::{
    args::{Conversations, History},
    failure::Failure,
    people::{self, Address, Names},
    say,
    text::{Moment, clean, clean_line},
};
use chat4all_client::{
    Range,
    model::{Message, Status},
};

/// The most messages a page of the server holds.
const PAGE: u32 = 200;

/// Prints the newest messages, oldest first.
pub(super) async fn run(options: History) -> Result<(), Failure> {
    let client = people::signed_in(&options.who).await?;
    let id = match Address::parse(&options.conversation) {
        Address::Conversation(id) => id,
        _ => {
            let other = people::user_id(&client, &options.conversation).await?;
            client.direct(&other).await?.conversation_id
        }
    };
    let mut range = options.before.map_or(Range::Newest, Range::Before);
    let mut messages: Vec<Message> = Vec::new();
    let mut wanted = options.limit;
    while wanted > 0 {
        let page = client.messages(&id, range, Some(wanted.min(PAGE))).await?;
        wanted -= u32::try_from(page.messages.len()).unwrap_or(u32::MAX).min(wanted);
        let reached = page.messages.last().map(|message| message.seq);
        messages.extend(page.messages);
        match reached {
            Some(seq) if page.has_before => range = Range::Before(seq),
            _ => break,
        }
    }
    let mut names = Names::new(client.clone());
    if !options.json {
        names.learn(&client.conversation(&id).await?);
    }
    for message in messages.iter().rev() {
        let line = if options.json {
            serde_json::to_string(message)?
        } else {
            line(message, &names.of(&message.sender_id).await?)
        };
        say(&line)?;
    }
    Ok(())
}

/// One message for a person to read.
fn line(message: &Message, sender: &str) -> String {
    let moment = Moment::at(message.timestamp);
    let body = match &message.content {
        Some(content) => clean(content),
        None if message.deleted_at.is_some() => "(deleted)".into(),
        None => format!("({} files)", message.files.len()),
    };
    let edited = if message.edited_at.is_some() { " (edited)" } else { "" };
    let status = match message.status {
        Some(Status::Failed) => " (failed)",
        _ => "",
    };
    let reactions: String =
        message.reactions.iter().map(|r| format!(" [{} {}]", clean_line(&r.emoji), r.count)).collect();
    format!(
        "{} {}Z #{} {}: {body}{edited}{status}{reactions}",
        moment.date(),
        moment.time(),
        message.seq,
        clean_line(sender)
    )
}

/// Prints the whole inbox.
pub(super) async fn conversations(options: Conversations) -> Result<(), Failure> {
    let client = people::signed_in(&options.who).await?;
    let me = client.session().map(|session| session.user_id).unwrap_or_default();
    let mut cursor: Option<String> = None;
    loop {
        let page = client.conversations(Some(PAGE), cursor.as_deref()).await?;
        for conversation in &page.items {
            if options.json {
                say(&serde_json::to_string(conversation)?)?;
                continue;
            }
            let last = conversation.last_message.as_ref().and_then(|message| message.content.as_deref());
            let last: String = clean_line(last.unwrap_or_default()).chars().take(60).collect();
            let title = clean_line(&people::title(conversation, &me));
            let unread = match conversation.unread_count {
                0 => String::new(),
                count => format!(" ({count} unread)"),
            };
            say(&format!("{}\t{title}{unread}\t{last}", conversation.conversation_id))?;
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_what_became_of_the_message() {
        let mut message: Message = serde_json::from_value(serde_json::json!({
            "message_id": "m", "conversation_id": "c", "seq": 7, "kind": "text", "sender_id": "u",
            "recipient_id": null, "content": "hi\u{1b}[2J", "data": null, "file_id": null, "files": [],
            "timestamp": 0, "status": "SENT", "error": null, "delivered_at": null, "read_at": null,
            "edited_at": 1, "deleted_at": null, "reply_to": null,
            "reactions": [{"emoji": "👍", "count": 2, "mine": false}], "mentions": []
        }))
        .unwrap();
        assert_eq!(line(&message, "bob"), "1970-01-01 00:00Z #7 bob: hi\u{fffd}[2J (edited) [👍 2]");
        message.content = None;
        message.deleted_at = Some(2);
        assert!(line(&message, "bob").contains("(deleted)"));
    }
}
