//! Logs, and the readers of `events`: the real one, and a naive one for the rules that it cannot do without.

use super::World;
use super::rules::{Rule, Rules};
use bytes::Bytes;
use chat4all_model::reader::{LastRead, Progress, Read, Reader};
use chat4all_model::record::{EventRecord, Input, decode_event};

pub(crate) const INPUTS: [Input; 2] = [Input::Messages, Input::StatusUpdates];

/// An append-only log of one partition.
pub(crate) struct Log {
    stride: u64,
    records: Vec<Bytes>,
}

impl Log {
    pub(crate) fn new(stride: u64) -> Self {
        Self { stride, records: Vec::new() }
    }

    pub(crate) fn append(&mut self, payload: Bytes) -> u64 {
        self.records.push(payload);
        (self.records.len() as u64 - 1) * self.stride
    }

    /// The first record at or after `offset`.
    pub(crate) fn at_or_after(&self, offset: u64) -> Option<(u64, &Bytes)> {
        let index = offset.div_ceil(self.stride);
        let record = self.records.get(usize::try_from(index).ok()?)?;
        Some((index * self.stride, record))
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }
}

/// A reader of `events`.
pub(crate) enum EventReader {
    Real(Reader),
    Naive(Naive),
}

impl EventReader {
    /// From the start of the log.
    pub(crate) fn from_start(rules: Rules) -> Self {
        Self::new(rules, Progress { epoch: super::EPOCH, ..Progress::default() })
    }

    /// From a progress.
    pub(crate) fn new(rules: Rules, mut progress: Progress) -> Self {
        let real = [Rule::Term, Rule::Index, Rule::WholeProgress].iter().all(|rule| rules.has(*rule));
        if real {
            return Self::Real(Reader::new(progress));
        }
        let mut index = Some(progress.index);
        if !rules.has(Rule::WholeProgress) && progress.last.is_some() {
            (index, progress.messages, progress.status_updates) = (None, None, None);
        }
        Self::Naive(Naive { rules, progress, index })
    }

    pub(crate) fn progress(&self) -> &Progress {
        match self {
            Self::Real(reader) => reader.progress(),
            Self::Naive(naive) => &naive.progress,
        }
    }

    /// The next record, if there is one.
    pub(crate) fn next(&mut self, log: &Log) -> Option<(u64, Read)> {
        let (offset, payload) = log.at_or_after(self.progress().next())?;
        let read = match self {
            Self::Real(reader) => reader.read(offset, payload).expect("no newer records here"),
            Self::Naive(naive) => naive.read(offset, payload),
        };
        Some((offset, read))
    }
}

/// A reader with rules left out.
pub(crate) struct Naive {
    rules: Rules,
    progress: Progress,
    index: Option<u64>,
}

impl Naive {
    fn read(&mut self, offset: u64, payload: &[u8]) -> Read {
        self.progress.last = Some(LastRead { offset, hash: 0 });
        match decode_event(payload).expect("a record") {
            EventRecord::Term { nonce, .. } => {
                self.progress.term = Some(offset);
                (self.index, self.progress.index) = (Some(0), 0);
                Read::Term { nonce }
            }
            EventRecord::Facts(facts) => {
                let last = |input| self.progress.source(input).map(|s| s.offset);
                let mut counts = !self.rules.has(Rule::Term) || self.progress.term == Some(facts.term);
                if self.rules.has(Rule::Index) {
                    counts &= self.index.is_none_or(|index| index == facts.index);
                } else if self.rules.has(Rule::Source) {
                    let before = if self.rules.has(Rule::SourceOfEachInput) {
                        last(facts.source.input)
                    } else {
                        last(Input::Messages).max(last(Input::StatusUpdates))
                    };
                    counts &= before.is_none_or(|before| facts.source.offset > before);
                }
                if !counts {
                    return Read::Ignored;
                }
                (self.index, self.progress.index) = (Some(facts.index + 1), facts.index + 1);
                match facts.source.input {
                    Input::Messages => self.progress.messages = Some(facts.source),
                    Input::StatusUpdates => self.progress.status_updates = Some(facts.source),
                }
                Read::Facts(facts)
            }
        }
    }
}

impl World {
    /// A reader that starts at what is projected.
    pub(crate) fn reader(&self, partition: usize) -> EventReader {
        EventReader::new(self.rules, self.progress(partition))
    }
}
