use super::{
    args::Tail,
    credentials::replace,
    failure::Failure,
    note,
    people::{self, Names},
    say,
    text::{Moment, clean, clean_line},
};
use chat4all_client::{
    Live, LiveOptions, Start, Update,
    model::{Event, Snapshot},
};
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, io, path::PathBuf};

/// What a cursor file holds: the place in the stream, and what was printed beyond it.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Place {
    cursor: Option<String>,
    /// The newest `seq` printed of each conversation since the cursor: cursors come once a second only.
    #[serde(default)]
    printed: HashMap<String, u64>,
}

impl Place {
    fn repeats(&self, event: &Event) -> bool {
        let printed = event.at().and_then(|at| Some((at.seq, self.printed.get(&at.conversation_id)?)));
        printed.is_some_and(|(seq, printed)| seq <= *printed)
    }

    fn count(&mut self, event: &Event) {
        if let Some(at) = event.at() {
            self.printed.insert(at.conversation_id.clone(), at.seq);
        }
    }

    /// Everything printed so far lies at or before a cursor that has just come.
    fn advance(&mut self, cursor: Option<String>) {
        if self.cursor != cursor {
            self.cursor = cursor;
            self.printed.clear();
        }
    }
}

/// Prints events until told otherwise.
pub(super) async fn run(options: Tail) -> Result<(), Failure> {
    let client = people::signed_in(&options.who).await?;
    let mut place = match &options.cursor {
        Some(file) => read(file)?,
        None => Place::default(),
    };
    let start = place.cursor.clone().map_or(Start::Now, Start::Cursor);
    let mut names = Names::new(client.clone());
    let mut live = client.live(LiveOptions { start, ..LiveOptions::default() });
    let mut left = options.limit.unwrap_or(u64::MAX);
    while left > 0 {
        let Some(update) = live.next().await else { break };
        match update {
            Update::Event(event) if !place.repeats(&event) => {
                let wanted = options.conversations.is_empty()
                    || options.conversations.iter().any(|id| id == event.conversation_id());
                if wanted {
                    let line = if options.json {
                        serde_json::to_string(&event)?
                    } else {
                        describe(&event, &mut names).await?
                    };
                    say(&line)?;
                    left -= 1;
                }
                place.count(&event);
            }
            Update::Snapshot(snapshot) => skipped(&snapshot, options.json)?,
            Update::Live if options.until_idle => left = 0,
            Update::Disconnected { reason, .. } => note(&format!("disconnected ({reason}), reconnecting")),
            Update::Closed(error) => return Err(error.into()),
            _ => {}
        }
        keep(&options.cursor, &mut place, &live)?;
    }
    Ok(())
}

fn read(file: &PathBuf) -> Result<Place, Failure> {
    match std::fs::read(file) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(|error| Failure::Said(format!("{} is no cursor file: {error}", file.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Place::default()),
        Err(error) => Err(error.into()),
    }
}

fn keep(file: &Option<PathBuf>, place: &mut Place, live: &Live) -> io::Result<()> {
    place.advance(live.cursor());
    let Some(file) = file else { return Ok(()) };
    replace(file, &serde_json::to_vec(place)?)
}

/// The cursor was too old: the events since then cannot be had one by one.
fn skipped(snapshot: &Snapshot, json: bool) -> Result<(), Failure> {
    note("the cursor was too old; the state of all conversations replaces the events since then");
    if json {
        let line = serde_json::json!({"type": "SNAPSHOT", "conversations": &snapshot.conversations.items});
        say(&line.to_string())?;
    }
    Ok(())
}

async fn describe(event: &Event, names: &mut Names) -> Result<String, Failure> {
    let conversation = event.conversation_id().to_owned();
    let Some(at) = event.at() else {
        return Ok(format!("{conversation} {}", serde_json::to_string(event)?));
    };
    let actor = clean_line(&names.of(&at.actor_id).await?);
    let said = match event {
        Event::NewMessage { content, files, .. } => match content {
            Some(content) => format!(": {}", clean(content)),
            None => format!(" sent {} files", files.len()),
        },
        Event::MessageUpdated { message_seq, content, .. } => {
            format!(" edited #{message_seq}: {}", clean(content.as_deref().unwrap_or_default()))
        }
        Event::MessageDeleted { message_seq, .. } => format!(" deleted #{message_seq}"),
        Event::ReactionAdded { message_seq, emoji, .. } => {
            format!(" reacted {} to #{message_seq}", clean_line(emoji.as_deref().unwrap_or_default()))
        }
        Event::ReactionRemoved { message_seq, emoji, .. } => {
            format!(" took {} back from #{message_seq}", clean_line(emoji.as_deref().unwrap_or_default()))
        }
        Event::ConversationCreated { .. } => " created the conversation".into(),
        Event::ConversationUpdated { name, .. } => {
            format!(" named it {}", clean_line(name.as_deref().unwrap_or_default()))
        }
        Event::ParticipantAdded { user_ids, .. } => format!(" added {}", everyone(user_ids, names).await?),
        Event::ParticipantRemoved { user_ids, .. } if *user_ids == [at.actor_id.as_str()] => " left".into(),
        Event::ParticipantRemoved { user_ids, .. } => {
            format!(" removed {}", everyone(user_ids, names).await?)
        }
        _ => " changed a member's role".into(),
    };
    Ok(format!("{}Z {conversation} #{} {actor}{said}", Moment::at(at.timestamp).time(), at.seq))
}

async fn everyone(user_ids: &[String], names: &mut Names) -> Result<String, Failure> {
    let mut said = Vec::with_capacity(user_ids.len());
    for user_id in user_ids {
        said.push(clean_line(&names.of(user_id).await?));
    }
    Ok(said.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat4all_client::model::At;

    #[test]
    fn a_place_remembers_what_was_printed_beyond_its_cursor() {
        let event = |seq| Event::ConversationUpdated {
            at: At { conversation_id: "g:1".into(), seq, timestamp: 0, actor_id: "u".into() },
            name: None,
        };
        let mut place = Place::default();
        place.advance(Some("a".into()));
        place.count(&event(4));
        place.count(&event(5));
        place.advance(Some("a".into()));
        let mut place: Place = serde_json::from_slice(&serde_json::to_vec(&place).unwrap()).unwrap();
        assert!(place.repeats(&event(4)) && place.repeats(&event(5)) && !place.repeats(&event(6)));
        place.advance(Some("b".into()));
        assert!(place.printed.is_empty());
    }
}
