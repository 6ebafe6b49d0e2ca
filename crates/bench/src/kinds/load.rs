//! Groups online over `/ws` whose members send in a closed loop, with every delivery counted and checked.

use crate::frame::{self, Opcode};
use crate::server::Server;
use crate::setup::{Group, User};
use crate::ws::{self, Reader, Writer};
use crate::{Fault, Result, probe};
use chat4all_model::api::Event;
use serde::Deserialize;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// Bytes of text in a message, as in the published figures.
pub(crate) const CONTENT_BYTES: usize = 200;
const DRAINED_WITHIN: Duration = Duration::from_secs(30);
const CONNECTED_WITHIN: Duration = Duration::from_secs(60);
const CONNECTING_AT_ONCE: usize = 64;

/// When a sender may send the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Until {
    /// The server has made it durable.
    Ack,
    /// It has come back to the sender as an event.
    Event,
    /// Every member has the event.
    Everyone,
}

/// How hard to send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pressure {
    /// Members of each group who send.
    pub(crate) senders: usize,
    /// Messages that a sender has under way at once.
    pub(crate) outstanding: usize,
    pub(crate) until: Until,
    /// Decode every event and compare its text with what was sent.
    pub(crate) verify: bool,
    /// No more than this many messages in all.
    pub(crate) at_most: u64,
}

/// What all members count together.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) sent: Cell<u64>,
    pub(crate) acked: Cell<u64>,
    /// Messages that every member has.
    pub(crate) completed: Cell<u64>,
    pub(crate) deliveries: Cell<u64>,
    /// Events that came twice or out of order, or with a text nobody sent.
    pub(crate) wrong: Cell<u64>,
    /// Sends that were refused.
    pub(crate) refused: Cell<u64>,
    first_error: RefCell<Option<String>>,
    stopping: Cell<bool>,
}

/// Adds one and gives the value before.
pub(crate) fn bump(counter: &Cell<u64>) -> u64 {
    counter.replace(counter.get() + 1)
}

struct Room {
    members: u16,
    /// How many members have each `seq`.
    seen: RefCell<Vec<u16>>,
    senders: RefCell<Vec<Rc<Sender>>>,
}

impl Room {
    /// One more member has it: true if that was the last one.
    fn saw(&self, seq: u64) -> bool {
        let mut seen = self.seen.borrow_mut();
        let at = seq as usize;
        if seen.len() <= at {
            seen.resize(at + 1024, 0);
        }
        let Some(count) = seen.get_mut(at) else { return false };
        *count += 1;
        *count == self.members
    }
}

struct Sender {
    writer: Writer,
    prefix: String,
    suffix: String,
    count: Cell<u64>,
    at_most: u64,
    tally: Rc<Tally>,
}

impl Sender {
    fn queue_one(&self) {
        if self.tally.stopping.get() || self.tally.sent.get() >= self.at_most {
            return;
        }
        bump(&self.tally.sent);
        let number = format!("{:010}", bump(&self.count));
        self.writer.queue(Opcode::Text, &[self.prefix.as_bytes(), number.as_bytes(), self.suffix.as_bytes()]);
    }
}

/// The text that all messages of a run carry.
pub(crate) fn content() -> String {
    "The quick brown fox jumps over the lazy dog. ".chars().cycle().take(CONTENT_BYTES).collect()
}

/// Groups online and sending.
pub(crate) struct Load {
    pub(crate) tally: Rc<Tally>,
    tasks: JoinSet<Result<()>>,
}

impl Load {
    /// Connects every member, then begins.
    pub(crate) async fn start(
        addresses: &[SocketAddr],
        groups: &[Group],
        pressure: Pressure,
    ) -> Result<Self> {
        let people: Vec<Rc<User>> = groups.iter().flat_map(|group| group.members.iter().cloned()).collect();
        let mut readers = connect_all(addresses, people).await?.into_iter();
        let tally = Rc::new(Tally::default());
        let mut members = Vec::new();
        for (number, group) in groups.iter().enumerate() {
            let room = Rc::new(Room {
                members: u16::try_from(group.members.len())?,
                seen: RefCell::default(),
                senders: RefCell::default(),
            });
            for (place, (user, reader)) in group.members.iter().zip(&mut readers).enumerate() {
                let sender = (place < pressure.senders).then(|| {
                    Rc::new(Sender {
                        writer: reader.writer(),
                        prefix: format!(r#"{{"type":"send","client_id":"{number}-{place}-"#),
                        suffix: format!(
                            r#"","conversation_id":"{}","content":"{}"}}"#,
                            group.conversation_id,
                            content()
                        ),
                        count: Cell::new(0),
                        at_most: pressure.at_most,
                        tally: Rc::clone(&tally),
                    })
                });
                room.senders.borrow_mut().extend(sender.clone());
                members.push(Member {
                    reader,
                    room: Rc::clone(&room),
                    sender,
                    user_id: user.user_id.clone(),
                    last_seq: None,
                    verify: pressure.verify,
                    until: pressure.until,
                    tally: Rc::clone(&tally),
                });
            }
        }
        let mut tasks = JoinSet::new();
        for member in members {
            tasks.spawn_local(member.run(pressure.outstanding));
        }
        Ok(Self { tally, tasks })
    }

    /// Lets it run for so long; a member that fails ends it.
    pub(crate) async fn run_for(&mut self, time: Duration) -> Result<()> {
        match timeout(time, self.tasks.join_next()).await {
            Err(_elapsed) => Ok(()),
            Ok(None) => Err("nobody is there".into()),
            Ok(Some(ended)) => Err(format!("a member stopped: {:?}", ended?.err()).into()),
        }
    }

    /// Waits until every message there may be has reached everyone.
    pub(crate) async fn run_until_done(&mut self, messages: u64, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        while self.tally.completed.get() < messages {
            if Instant::now() > deadline || self.tally.refused.get() > 0 {
                return Err(self.fault("not all were delivered in time").into());
            }
            self.run_for(Duration::from_millis(20)).await?;
        }
        Ok(())
    }

    /// Stops sending, waits for what is under way and checks that nothing was lost, doubled, reordered or refused.
    pub(crate) async fn finish(mut self) -> Result<()> {
        self.tally.stopping.set(true);
        let deadline = Instant::now() + DRAINED_WITHIN;
        let tally = Rc::clone(&self.tally);
        let owed = || tally.sent.get().saturating_sub(tally.completed.get() + tally.refused.get());
        while owed() > 0 && tally.wrong.get() == 0 && Instant::now() < deadline {
            self.run_for(Duration::from_millis(20)).await?;
        }
        if owed() > 0 || tally.wrong.get() > 0 || tally.refused.get() > 0 {
            return Err(self.fault("the run does not count").into());
        }
        Ok(())
    }

    fn fault(&self, what: &str) -> String {
        let tally = &self.tally;
        format!(
            "{what}: {} sent, {} acknowledged, {} with all members, {} wrong, {} refused{}",
            tally.sent.get(),
            tally.acked.get(),
            tally.completed.get(),
            tally.wrong.get(),
            tally.refused.get(),
            tally.first_error.borrow().as_deref().map(|text| format!("; first: {text}")).unwrap_or_default()
        )
    }
}

struct Member {
    reader: Reader,
    room: Rc<Room>,
    sender: Option<Rc<Sender>>,
    user_id: String,
    last_seq: Option<u64>,
    verify: bool,
    until: Until,
    tally: Rc<Tally>,
}

impl Member {
    async fn run(mut self, outstanding: usize) -> Result<()> {
        let writer = self.reader.writer();
        if let Some(sender) = &self.sender {
            (0..outstanding).for_each(|_| sender.queue_one());
        }
        loop {
            writer.flush().await?;
            self.reader.read().await?;
            self.take_frames()?;
        }
    }

    fn take_frames(&mut self) -> Result<()> {
        let Self { reader, room, sender, user_id, last_seq, verify, until, tally } = self;
        while let Some(payload) = reader.next()? {
            match frame::kind(payload) {
                b"NEW_MESSAGE" => {
                    bump(&tally.deliveries);
                    let seq = frame::number(payload, b"\"seq\":").ok_or("an event without seq")?;
                    if last_seq.is_some_and(|last| seq != last + 1) || (*verify && !is_whole(payload)) {
                        bump(&tally.wrong);
                        tally.first_error.borrow_mut().get_or_insert_with(|| {
                            format!("after {last_seq:?}: {}", String::from_utf8_lossy(payload))
                        });
                    }
                    *last_seq = Some(seq);
                    let complete = room.saw(seq);
                    if complete {
                        bump(&tally.completed);
                    }
                    let next = match until {
                        Until::Event => sender.as_ref().filter(|_| is_from(payload, user_id)).cloned(),
                        Until::Everyone if complete => {
                            let senders = room.senders.borrow();
                            senders.get(seq as usize % senders.len().max(1)).cloned()
                        }
                        Until::Everyone | Until::Ack => None,
                    };
                    if let Some(next) = next {
                        next.queue_one();
                        if *until == Until::Everyone {
                            // The sender's own task may be asleep. What the kernel does not take now it sends later.
                            next.writer.try_flush()?;
                        }
                    }
                }
                b"ack" => {
                    bump(&tally.acked);
                    if *until == Until::Ack
                        && let Some(sender) = sender
                    {
                        sender.queue_one();
                    }
                }
                b"error" | b"REJECTED" => {
                    bump(&tally.refused);
                    let text = || String::from_utf8_lossy(payload).into_owned();
                    tally.first_error.borrow_mut().get_or_insert_with(text);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn is_from(event: &[u8], user_id: &str) -> bool {
    frame::text(event, b"\"actor_id\":\"") == Some(user_id)
}

fn is_whole(payload: &[u8]) -> bool {
    let sent = content();
    matches!(
        serde_json::from_slice(payload),
        Ok(Event::NewMessage { content: Some(text), .. }) if text == sent
    )
}

/// Connects everybody, some at a time, to each address in turn, and waits until each is live. In the order given.
pub(crate) async fn connect_all(addresses: &[SocketAddr], people: Vec<Rc<User>>) -> Result<Vec<Reader>> {
    let placed: Vec<_> = people.into_iter().zip(addresses.iter().copied().cycle()).collect();
    let opened = connect_with(placed, CONNECTING_AT_ONCE, move |(user, address)| async move {
        let mut reader = ws::connect(address, &user.access_token, None).await?;
        reader.wait_for(b"live").await?;
        Ok(reader)
    });
    timeout(CONNECTED_WITHIN, opened).await.map_err(|_elapsed| "not all connected in time")?
}

/// Runs `open` for everybody, at most `at_once` at a time; gives the results in the order of the people.
pub(crate) async fn connect_with<P, T, F>(
    people: Vec<P>,
    at_once: usize,
    open: impl Fn(P) -> F + 'static,
) -> Result<Vec<T>>
where
    P: 'static,
    T: 'static,
    F: Future<Output = Result<T>> + 'static,
{
    let count = people.len();
    let open = Rc::new(open);
    let queue = Rc::new(RefCell::new(people.into_iter().enumerate()));
    let mut workers = JoinSet::new();
    for _ in 0..at_once.min(count) {
        let (queue, open) = (Rc::clone(&queue), Rc::clone(&open));
        workers.spawn_local(async move {
            let mut opened = Vec::new();
            loop {
                let next = queue.borrow_mut().next();
                let Some((place, person)) = next else { return Ok::<_, Fault>(opened) };
                opened.push((place, open(person).await?));
            }
        });
    }
    let mut all = Vec::with_capacity(count);
    while let Some(opened) = workers.join_next().await {
        all.extend(opened??);
    }
    all.sort_by_key(|(place, _)| *place);
    Ok(all.into_iter().map(|(_, opened)| opened).collect())
}

/// Rates over a stretch of a run.
pub(crate) struct Window {
    began: Instant,
    completed: u64,
    deliveries: u64,
    server_cpu: Duration,
    own_cpu: Duration,
}

/// What a `Window` gives.
pub(crate) struct Rates {
    pub(crate) messages_per_s: f64,
    pub(crate) deliveries_per_s: f64,
    /// Of the server, in microseconds.
    pub(crate) cpu_us_per_message: f64,
    /// Share of one core, in per cent. The generator has one thread: near 100 it is the bottleneck.
    pub(crate) generator_percent: f64,
}

impl Window {
    pub(crate) fn open(tally: &Tally, server: &Server) -> Result<Self> {
        Ok(Self {
            began: Instant::now(),
            completed: tally.completed.get(),
            deliveries: tally.deliveries.get(),
            server_cpu: server.cpu_time()?,
            own_cpu: probe::cpu_time(std::process::id())?,
        })
    }

    pub(crate) fn close(self, tally: &Tally, server: &Server) -> Result<Rates> {
        let seconds = self.began.elapsed().as_secs_f64();
        let messages = (tally.completed.get() - self.completed) as f64;
        let server_cpu = server.cpu_time()?.saturating_sub(self.server_cpu);
        let own_cpu = probe::cpu_time(std::process::id())?.saturating_sub(self.own_cpu);
        Ok(Rates {
            messages_per_s: messages / seconds,
            deliveries_per_s: (tally.deliveries.get() - self.deliveries) as f64 / seconds,
            cpu_us_per_message: server_cpu.as_secs_f64() * 1e6 / messages,
            generator_percent: own_cpu.as_secs_f64() * 100.0 / seconds,
        })
    }
}

/// A pause for what settles by itself, such as memory after a start.
pub(crate) async fn settle() {
    sleep(Duration::from_secs(1)).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::LocalSet;

    /// A server for one member that answers sends with these `seq`s, one each.
    async fn scripted(mut stream: TcpStream, seqs: &[u64], text: &str) {
        let mut buffer = vec![0; 4096];
        let _request = stream.read(&mut buffer).await.unwrap();
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").await.unwrap();
        stream.write_all(b"\x81\x0f{\"type\":\"live\"}").await.unwrap();
        for seq in seqs {
            let _send = stream.read(&mut buffer).await.unwrap();
            let event = serde_json::to_vec(&serde_json::json!({
                "type": "NEW_MESSAGE", "conversation_id": "g:1", "seq": seq, "timestamp": 1, "actor_id": "me",
                "message_id": "m", "sender_id": "me", "recipient_id": null, "kind": "text", "content": text,
            }));
            let event = event.unwrap();
            stream.write_all(&[0x81, 126]).await.unwrap();
            stream.write_all(&(event.len() as u16).to_be_bytes()).await.unwrap();
            stream.write_all(&event).await.unwrap();
        }
        // Open until the client goes away.
        let _ = stream.read(&mut buffer).await;
    }

    async fn run_against(seqs: &'static [u64], text: String) -> Result<()> {
        LocalSet::new()
            .run_until(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await?;
                let address = listener.local_addr()?;
                tokio::task::spawn_local(async move {
                    scripted(listener.accept().await.unwrap().0, seqs, &text).await;
                });
                let me = User { user_id: "me".to_owned(), access_token: "t".to_owned() };
                let group = Group { conversation_id: "g:1".to_owned(), members: vec![Rc::new(me)] };
                let at_most = seqs.len() as u64;
                let pressure =
                    Pressure { senders: 1, outstanding: 1, until: Until::Event, verify: true, at_most };
                let mut load = Load::start(&[address], &[group], pressure).await?;
                while load.tally.deliveries.get() < at_most {
                    load.run_for(Duration::from_millis(1)).await?;
                }
                load.finish().await
            })
            .await
    }

    #[tokio::test]
    async fn a_run_in_order_counts() {
        run_against(&[2, 3, 4], content()).await.unwrap();
    }

    #[tokio::test]
    async fn a_double_a_hole_and_another_text_spoil_the_run() {
        for seqs in [&[2, 3, 3], &[2, 4, 5], &[3, 2, 4]] {
            let error = run_against(seqs, content()).await.unwrap_err().to_string();
            assert!(error.contains("wrong"), "{seqs:?}: {error}");
        }
        assert!(run_against(&[2, 3], "other".to_owned()).await.is_err());
    }
}
