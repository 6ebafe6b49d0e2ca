//! What a person knows of a conversation by its events alone.

use super::evidence::{Entry, Shown, What};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Messages as the events so far make them.
#[derive(Debug, Default)]
pub(super) struct Fold {
    messages: BTreeMap<u64, Known>,
    places: HashMap<String, u64>,
    last: u64,
}

#[derive(Debug, Default)]
struct Known {
    id: String,
    text: Option<String>,
    reactions: BTreeSet<(String, String)>,
}

impl Fold {
    /// Takes the next entry; one that was there already changes nothing.
    pub(super) fn take(&mut self, entry: &Entry) {
        if entry.seq <= self.last {
            return;
        }
        self.last = entry.seq;
        match &entry.what {
            What::Message { id, text } => {
                self.places.insert(id.clone(), entry.seq);
                let known = Known { id: id.clone(), text: text.clone(), ..Known::default() };
                self.messages.insert(entry.seq, known);
            }
            What::Edited { target, text } => {
                if let Some(known) = self.known(target) {
                    known.text.clone_from(text);
                }
            }
            What::Deleted { target } => {
                if let Some(known) = self.known(target) {
                    known.text = None;
                    known.reactions.clear();
                }
            }
            What::Reacted { target, emoji: Some(emoji), removed } => {
                let reaction = (emoji.clone(), entry.actor.clone());
                if let Some(known) = self.known(target) {
                    if *removed {
                        known.reactions.remove(&reaction);
                    } else {
                        known.reactions.insert(reaction);
                    }
                }
            }
            _ => {}
        }
    }

    fn known(&mut self, id: &str) -> Option<&mut Known> {
        self.messages.get_mut(self.places.get(id)?)
    }

    /// The messages from `seq` on, as the server should show them.
    #[must_use]
    pub(super) fn shown(&self, from: u64) -> BTreeMap<u64, Shown> {
        let shown = |known: &Known| {
            let mut reactions = BTreeMap::new();
            for (emoji, _) in &known.reactions {
                *reactions.entry(emoji.clone()).or_default() += 1;
            }
            Shown { id: known.id.clone(), text: known.text.clone(), reactions }
        };
        self.messages.range(from..).map(|(seq, known)| (*seq, shown(known))).collect()
    }
}
