//! What the server says at the end, page by page.

use super::Result;
use super::evidence::{Entry, Evidence, Journal, Shown, Step, View};
use chat4all_client::{Client, ClientError, Range};
use std::collections::{BTreeSet, HashMap};

const PAGE: Option<u32> = Some(200);

/// Asks for everything each person may see, of every conversation it ever saw an event of.
///
/// # Errors
/// If the server does not give it.
pub(super) async fn gather(clients: &HashMap<String, Client>, journals: Vec<Journal>) -> Result<Evidence> {
    let mut evidence = Evidence::default();
    for journal in &journals {
        let Some(client) = clients.get(&journal.user) else { continue };
        let conversations: BTreeSet<&String> = journal
            .steps
            .iter()
            .filter_map(|step| match step {
                Step::Entry { conversation, .. } => Some(conversation),
                Step::Resumed => None,
            })
            .collect();
        for conversation in conversations {
            let view = view(client, &journal.user, conversation)
                .await
                .map_err(|error| format!("{conversation} for {}: {error}", journal.user))?;
            // The longest was seen by somebody who was there all the time: every group has such a one.
            let log = evidence.logs.entry(conversation.clone()).or_default();
            if view.log.len() > log.len() {
                log.clone_from(&view.log);
            }
            evidence.views.push(view);
        }
    }
    evidence.journals = journals;
    Ok(evidence)
}

async fn view(client: &Client, user: &str, conversation: &str) -> Result<View, ClientError> {
    let shown = client.conversation(conversation).await?;
    let mut view = View {
        user: user.into(),
        conversation: conversation.into(),
        read: shown.read_seq,
        unread: shown.unread_count,
        ..View::default()
    };
    let mut after = 0;
    loop {
        let page = client.messages(conversation, Range::After(after), PAGE).await?;
        for message in page.messages {
            let reactions = message.reactions.into_iter().map(|r| (r.emoji, r.count)).collect();
            let shown = Shown { id: message.message_id, text: message.content, reactions };
            view.messages.insert(message.seq, shown);
        }
        match page.last_seq {
            Some(last) if page.has_after && last > after => after = last,
            _ => break,
        }
    }
    let mut after = 0;
    loop {
        let page = client.events(conversation, after, PAGE).await?;
        let last = page.items.last().and_then(|event| event.at()).map(|at| at.seq);
        view.log.extend(page.items.into_iter().filter_map(Entry::of).map(|(_, entry)| entry));
        match last {
            Some(last) if page.next.is_some() && last > after => after = last,
            _ => break,
        }
    }
    Ok(view)
}
