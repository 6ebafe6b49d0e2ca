//! The newest facts of one partition.

use super::encode::{self, Form};
use bytes::Bytes;
use chat4all_model::fact::{Fact, What};
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::Arc;

/// What an entry costs beside its texts: its own row, its posting, the fact's fixed part, allocations.
const OVERHEAD: usize = size_of::<Entry>() + size_of::<Fact>() + 128;

/// Facts by when they were heard. Each has a serial number that never changes while it is here.
#[derive(Debug)]
pub(super) struct Ring {
    /// All facts of records in `start..next` are here.
    pub(super) start: u64,
    /// The offset after the last record heard.
    pub(super) next: u64,
    first_serial: u64,
    entries: VecDeque<Entry>,
    pub(super) bytes: usize,
}

/// One fact.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) offset: u64,
    record: Arc<[Fact]>,
    at: u32,
    /// The number of its conversation.
    pub(super) conversation: u32,
    /// Its content was deleted since.
    blank: bool,
    size: u32,
    /// Encoded when somebody first needs it.
    plain: Option<Bytes>,
    masked: Option<Bytes>,
}

impl Ring {
    pub(super) fn new(start: u64) -> Self {
        Self { start, next: start, first_serial: 0, entries: VecDeque::new(), bytes: 0 }
    }

    /// Takes the next fact and gives its serial.
    pub(super) fn push(&mut self, entry: Entry) -> u64 {
        self.bytes += entry.size as usize;
        self.entries.push_back(entry);
        self.end_serial() - 1
    }

    /// Drops the oldest fact.
    pub(super) fn pop(&mut self) -> Option<(u64, Entry)> {
        let entry = self.entries.pop_front()?;
        let serial = self.first_serial;
        self.first_serial += 1;
        self.bytes -= entry.size as usize;
        self.start = entry.offset + 1;
        Some((serial, entry))
    }

    pub(super) fn get(&self, serial: u64) -> Option<&Entry> {
        self.entries.get(usize::try_from(serial.checked_sub(self.first_serial)?).ok()?)
    }

    pub(super) fn get_mut(&mut self, serial: u64) -> Option<&mut Entry> {
        self.entries.get_mut(usize::try_from(serial.checked_sub(self.first_serial)?).ok()?)
    }

    /// The first serial whose record stands at `offset` or later.
    pub(super) fn serial_at(&self, offset: u64) -> u64 {
        if offset >= self.next {
            return self.end_serial();
        }
        self.first_serial + self.entries.partition_point(|entry| entry.offset < offset) as u64
    }

    /// The serial that the next fact gets.
    pub(super) fn end_serial(&self) -> u64 {
        self.first_serial + self.entries.len() as u64
    }
}

impl Entry {
    pub(super) fn new(offset: u64, record: &Arc<[Fact]>, at: usize, conversation: u32) -> Self {
        let size = OVERHEAD + record.get(at).map_or(0, texts);
        Self {
            offset,
            record: Arc::clone(record),
            at: u32::try_from(at).unwrap_or(u32::MAX),
            conversation,
            blank: false,
            size: u32::try_from(size).unwrap_or(u32::MAX),
            plain: None,
            masked: None,
        }
    }

    pub(super) fn fact(&self) -> &Fact {
        &self.record[self.at as usize]
    }

    pub(super) fn size(&self) -> usize {
        self.size as usize
    }

    pub(super) fn is_blank(&self) -> bool {
        self.blank
    }

    /// Its content is no longer given to anybody.
    pub(super) fn blank(&mut self) {
        self.blank = true;
        (self.plain, self.masked) = (None, None);
    }

    /// The frame of one form, encoded once for all who get it.
    pub(super) fn frame(&mut self, form: Form) -> Bytes {
        match form {
            Form::Masked => {
                let (record, at) = (&self.record, self.at as usize);
                let encoded = || encode::frame(&encode::event_in(&record[at], Form::Masked, false));
                self.masked.get_or_insert_with(encoded).clone()
            }
            Form::Plain => self.plain().clone(),
            Form::Own => match &self.record[self.at as usize].what {
                What::Message { client_id: Some(client_id), .. } => {
                    let client_id = Value::from(client_id.as_ref());
                    encode::with_field(self.plain(), "client_id", &client_id)
                }
                _ => self.plain().clone(),
            },
            Form::Added(first_seq) => encode::with_field(self.plain(), "first_seq", &first_seq.into()),
        }
    }

    fn plain(&mut self) -> &Bytes {
        let (record, at, blank) = (&self.record, self.at as usize, self.blank);
        self.plain.get_or_insert_with(|| encode::frame(&encode::event_in(&record[at], Form::Plain, blank)))
    }
}

/// About how many bytes of text a fact holds, counted twice: as a fact and as a frame.
fn texts(fact: &Fact) -> usize {
    let ids = fact.conversation.as_str().len() + fact.actor.as_str().len() + 128;
    let own = match &fact.what {
        What::Created { members, .. } | What::Added { members } | What::Removed { members, .. } => {
            members.len() * 160
        }
        What::Message { content, client_id, .. } => {
            let lists = content.files.iter().chain(&content.mentions).map(|s| s.len() + 16).sum::<usize>();
            let text = content.text.as_ref().map_or(0, |s| s.len());
            text + content.data.as_ref().map_or(0, |s| s.len())
                + lists
                + client_id.as_ref().map_or(0, |s| s.len())
        }
        What::Edited { text, state, .. } => text.as_ref().map_or(0, |s| s.len()) + state.edits.len() * 8,
        What::Deleted { state, .. } | What::Reacted { state, .. } => {
            state.edits.len() * 8 + state.reactions.len() * 48
        }
        What::Renamed { .. }
        | What::RoleSet { .. }
        | What::Receipt { .. }
        | What::Settings { .. }
        | What::Rejected { .. } => 64,
    };
    2 * (ids + own)
}
