use chat4all_model::api::{Event, Snapshot};
use std::collections::HashMap;

/// How far each conversation has been given to the caller: what tells a repeated event from a new one, and a new
/// one from one that came too early.
///
/// One number a conversation is enough because a conversation's events come in order. As large as the inbox is.
#[derive(Debug, Default)]
pub(super) struct Feed {
    given: HashMap<String, u64>,
}

/// What to do with an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Give it.
    Next,
    /// It has been given.
    Repeated,
    /// Fetch what is missing after this `seq` first.
    Hole { after: u64 },
}

impl Feed {
    /// Starts again from a snapshot.
    pub(super) fn reset(&mut self, snapshot: &Snapshot) {
        let heads = snapshot.conversations.items.iter();
        self.given = heads.map(|entry| (entry.conversation_id.clone(), entry.last_seq)).collect();
    }

    /// Judges an event. One that is next counts as given.
    pub(super) fn take(&mut self, event: &Event) -> Verdict {
        let Some(at) = event.at() else { return Verdict::Next };
        let Some(given) = self.given.get_mut(&at.conversation_id) else {
            self.given.insert(at.conversation_id.clone(), at.seq);
            return Verdict::Next;
        };
        if at.seq <= *given {
            return Verdict::Repeated;
        }
        // Who joins again was away: the events in between are not for their eyes.
        let joins = matches!(event, Event::ParticipantAdded { first_seq: Some(_), .. });
        if at.seq > *given + 1 && !joins {
            return Verdict::Hole { after: *given };
        }
        *given = at.seq;
        Verdict::Next
    }

    /// Counts an event as given although something before it could not be had.
    pub(super) fn jump(&mut self, event: &Event) {
        if let Some(at) = event.at() {
            self.given.insert(at.conversation_id.clone(), at.seq);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat4all_model::api::{At, Role};

    fn at(seq: u64) -> At {
        At { conversation_id: "g:1".into(), seq, timestamp: 0, actor_id: "u".into() }
    }

    fn renamed(seq: u64) -> Event {
        Event::ConversationUpdated { at: at(seq), name: None }
    }

    #[test]
    fn gives_each_once_and_sees_holes() {
        let mut feed = Feed::default();
        assert_eq!(feed.take(&renamed(5)), Verdict::Next);
        assert_eq!(feed.take(&renamed(5)), Verdict::Repeated);
        assert_eq!(feed.take(&renamed(4)), Verdict::Repeated);
        assert_eq!(feed.take(&renamed(8)), Verdict::Hole { after: 5 });
        assert_eq!(feed.take(&renamed(6)), Verdict::Next);
        assert_eq!(feed.take(&renamed(7)), Verdict::Next);
        assert_eq!(feed.take(&renamed(8)), Verdict::Next);
    }

    #[test]
    fn joining_again_is_no_hole() {
        let mut feed = Feed::default();
        feed.take(&renamed(5));
        let mine = |first_seq| Event::ParticipantAdded {
            at: at(20),
            user_ids: vec!["me".into()],
            role: Role::Member,
            first_seq,
        };
        assert_eq!(feed.take(&mine(None)), Verdict::Hole { after: 5 });
        assert_eq!(feed.take(&mine(Some(20))), Verdict::Next);
        assert_eq!(feed.take(&renamed(21)), Verdict::Next);
    }
}
