use super::{args::Who, credentials::CredentialsFile, failure::Failure};
use chat4all_client::{Client, ClientError, SessionStore, model::Conversation, model::ConversationType};
use std::{collections::HashMap, sync::Arc};

/// A client that is signed in with what is kept on this machine.
pub(super) async fn signed_in(who: &Who) -> Result<Client, Failure> {
    let client = kept(who)?;
    match client.access_token().await {
        Ok(_) => Ok(client),
        Err(error) if error.ends_session() => {
            let (file, name) = CredentialsFile::find(&who.server, who.name.as_deref())?;
            match file.password() {
                Some(password) => {
                    client.login(&name, &password).await?;
                    Ok(client)
                }
                None if file.load().is_none() => Err(Failure::NotSignedIn(format!(
                    "{name} is not signed in here: chat4all register --as {name}"
                ))),
                None => Err(Failure::NotSignedIn(format!(
                    "the session of {name} has ended: chat4all register --as {name} --password-stdin"
                ))),
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// A client with the session that is kept, if any.
pub(super) fn kept(who: &Who) -> Result<Client, Failure> {
    let (file, _) = CredentialsFile::find(&who.server, who.name.as_deref())?;
    Ok(Client::new(&who.server)?.with_store(Arc::new(file)))
}

/// What a person writes for another person or a conversation.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Address {
    Username(String),
    Conversation(String),
    /// A user id, or a person on another platform.
    Recipient(String),
}

impl Address {
    pub(super) fn parse(text: &str) -> Self {
        let conversation = ["d:", "g:", "c:"].iter().any(|prefix| text.starts_with(prefix));
        match text.strip_prefix('@') {
            Some(name) => Self::Username(name.into()),
            None if conversation => Self::Conversation(text.into()),
            None => Self::Recipient(text.into()),
        }
    }
}

/// The user id of `@name`; anything else is taken for an id.
pub(super) async fn user_id(client: &Client, text: &str) -> Result<String, Failure> {
    match Address::parse(text) {
        Address::Username(name) => match client.user_named(&name).await? {
            Some(user) => Ok(user.user_id),
            None => Err(Failure::Said(format!("nobody here is called @{name}"))),
        },
        Address::Conversation(id) | Address::Recipient(id) => Ok(id),
    }
}

/// The names of people, asked for once each.
pub(super) struct Names {
    client: Client,
    known: HashMap<String, String>,
}

impl Names {
    pub(super) fn new(client: Client) -> Self {
        Self { client, known: HashMap::new() }
    }

    pub(super) fn learn(&mut self, conversation: &Conversation) {
        for member in &conversation.participants {
            if let Some(name) = &member.username {
                self.known.insert(member.user_id.clone(), name.clone());
            }
        }
    }

    /// The username; the id of somebody who has none.
    pub(super) async fn of(&mut self, user_id: &str) -> Result<String, ClientError> {
        if let Some(name) = self.known.get(user_id) {
            return Ok(name.clone());
        }
        let name = match self.client.user(user_id).await {
            Ok(user) => user.username,
            Err(ClientError::Problem(_)) => user_id.to_owned(),
            Err(error) => return Err(error),
        };
        self.known.insert(user_id.into(), name.clone());
        Ok(name)
    }
}

/// What to call a conversation: its name, or the others in it.
pub(super) fn title(conversation: &Conversation, me: &str) -> String {
    if let Some(name) = &conversation.name {
        return name.clone();
    }
    let others = conversation.participants.iter().filter(|member| member.user_id != me);
    let names: Vec<&str> =
        others.map(|member| member.username.as_deref().unwrap_or(member.user_id.as_str())).collect();
    match (names.is_empty(), conversation.kind) {
        (false, ConversationType::Direct) => format!("@{}", names.join(", @")),
        (false, _) => names.join(", "),
        (true, _) => conversation.conversation_id.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_addresses_apart() {
        assert_eq!(Address::parse("@bob"), Address::Username("bob".into()));
        assert_eq!(Address::parse("g:1"), Address::Conversation("g:1".into()));
        assert_eq!(Address::parse("whatsapp:+55"), Address::Recipient("whatsapp:+55".into()));
    }
}
