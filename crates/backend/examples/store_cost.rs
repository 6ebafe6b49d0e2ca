//! What the store of a URL costs: `store_cost URL CONVERSATIONS MESSAGES BATCH PARTITIONS` projects messages of 200
//! characters, round and round over the conversations, so many a projection, all partitions at once; then it reads
//! pages of 50. Prints facts and CPU of this process, and of the server if it runs on this machine.
#![expect(clippy::print_stdout, reason = "what it measured is what it is for")]

use chat4all_backend::address::EngineUrl;
use chat4all_backend::store::{Counted, PostgresStore, Projection, Slice, Store};
use chat4all_model::api::{History, MessageKind, Role};
use chat4all_model::command::{Content, Count};
use chat4all_model::fact::{About, Fact, Head, Interval, What};
use chat4all_model::id::{ConversationId, RecordId, UserId};
use chat4all_model::reader::{LastRead, Progress};
use chat4all_model::rows::Position;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

const PAGES: usize = 2_000;
const PAGE: usize = 50;
/// Of the kernel's clock, a second.
const TICKS: f64 = 100.0;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, numbers @ ..] = &arguments[..] else { return Err("give a URL".into()) };
    let numbers = numbers.iter().map(|n| n.parse()).collect::<Result<Vec<usize>, _>>()?;
    let [conversations, messages, batch, partitions] = numbers[..] else {
        return Err("give conversations, messages, batch, partitions".into());
    };
    let store = Arc::new(PostgresStore::open(EngineUrl::parse(url)?, Arc::new(|| 0)).await?);
    let mut chats = Vec::new();
    for partition in 0..partitions {
        let mut chat = Chat::new(u32::try_from(partition)?, conversations / partitions);
        chat.begin(&*store).await?;
        chats.push(chat);
    }
    let (began, cpu) = (Instant::now(), Cpu::now());
    let tasks: Vec<_> = chats
        .into_iter()
        .map(|mut chat| {
            let store = Arc::clone(&store);
            tokio::spawn(
                async move { chat.talk(&*store, messages / partitions, batch).await.map(|t| (chat, t)) },
            )
        })
        .collect();
    let (mut chats, mut times) = (Vec::new(), Vec::new());
    for task in tasks {
        let (chat, mut of_one) = task.await??;
        chats.push(chat);
        times.append(&mut of_one);
    }
    let used = cpu.used();
    let per = |seconds: f64| seconds * 1e6 / messages as f64;
    println!(
        "project: {:.0} facts/s; CPU a fact: ours {:.1} us, server's {:.1} us; a projection of {batch}: {}",
        messages as f64 / began.elapsed().as_secs_f64(),
        per(used.ours),
        per(used.server),
        quantiles(times)
    );
    let (mut times, cpu) = (Vec::new(), Cpu::now());
    for n in 0..PAGES {
        let chat = &chats[n % chats.len()];
        let (c, head) = &chat.heads[n.wrapping_mul(7_919) % chat.heads.len()];
        let from = 2 + (n as u64).wrapping_mul(104_729) % head.seq;
        let began = Instant::now();
        let page = store.messages(c, Slice::Down(from), PAGE).await?;
        times.push(began.elapsed());
        assert!(!page.is_empty() || from < 2, "an empty page");
    }
    let used = cpu.used();
    println!(
        "page of {PAGE}: {}; CPU a page: ours {:.0} us, server's {:.0} us",
        quantiles(times),
        used.ours * 1e6 / PAGES as f64,
        used.server * 1e6 / PAGES as f64
    );
    Ok(())
}

/// The conversations of a partition.
struct Chat {
    partition: u32,
    heads: Vec<(ConversationId, Head)>,
    users: [UserId; 2],
    offset: u64,
    said: usize,
}

fn user(n: u32) -> UserId {
    UserId::parse(&format!("019a0b7c-3f52-7abc-8def-{n:012}")).expect("a user's id")
}

impl Chat {
    fn new(partition: u32, conversations: usize) -> Self {
        let head = Head {
            seq: 1,
            n: 0,
            sender: None,
            sender_seq: 0,
            other_seq: 0,
            participants: 2,
            admins: 1,
            time: 0,
        };
        let name = |n| format!("g:019a0b7c-3f52-7abc-{partition:04}-{n:012}");
        let heads = (0..conversations)
            .map(|n| (ConversationId::parse(&name(n)).expect("a conversation's id"), head.clone()));
        Self { partition, heads: heads.collect(), users: [user(1), user(2)], offset: 0, said: 0 }
    }

    async fn project(&mut self, store: &dyn Store, facts: Vec<Fact>) -> Result<(), chat4all_backend::Error> {
        self.offset += 1;
        let position = Position::new(1, self.offset);
        let counted = vec![Counted { position, facts: facts.into(), dead: Arc::default() }];
        let last = Some(LastRead { offset: self.offset, hash: 0 });
        let progress = Progress { epoch: 1, last, ..Progress::default() };
        store.project(self.partition, Projection { counted, terms: Vec::new(), progress }).await
    }

    async fn begin(&mut self, store: &dyn Store) -> Result<(), chat4all_backend::Error> {
        let made = |(c, head): &(ConversationId, Head)| {
            let member = |user: &UserId| Interval {
                user: user.clone(),
                role: Role::Admin,
                from: Count { seq: 1, n: 0 },
                since: 1,
                to: None,
                other_seq: 0,
                joined_at: 0,
            };
            let about =
                About { name: None, created_by: self.users[0].clone(), created_at: 0, history: History::All };
            let what = What::Created { about, members: self.users.iter().map(member).collect() };
            let (conversation, actor, head) = (c.clone(), self.users[0].clone(), Some(head.clone()));
            Fact { conversation, actor, time: 0, id: None, hash: 0, head, what }
        };
        let facts: Vec<Fact> = self.heads.iter().map(made).collect();
        for some in facts.chunks(1_000) {
            self.project(store, some.to_vec()).await?;
        }
        Ok(())
    }

    fn say(&mut self) -> Fact {
        let place = self.said % self.heads.len();
        let actor = self.users[(self.said / self.heads.len()) % 2].clone();
        let (conversation, head) = &mut self.heads[place];
        let key = format!("{}-{}", self.partition, self.said);
        let id = RecordId::derive(&actor, conversation, "send", &key);
        self.said += 1;
        head.other_seq = head.sender_seq;
        (head.seq, head.n, head.time) = (head.seq + 1, head.n + 1, 1_790_000_000_000 + self.said as u64);
        (head.sender, head.sender_seq) = (Some(actor.clone()), head.seq);
        let text = format!("{key} ").repeat(200 / (key.len() + 1));
        let content = Content { text: Some(text.into()), ..Content::default() };
        let client_id = Some(format!("019a0b7c-3f52-7abc-8def-{:012}", self.said).into());
        let what = What::Message { kind: MessageKind::Text, content, reply_to: None, client_id };
        Fact {
            conversation: conversation.clone(),
            actor,
            time: head.time,
            id: Some(id),
            hash: 77 << 50,
            head: Some(head.clone()),
            what,
        }
    }

    async fn talk(
        &mut self,
        store: &dyn Store,
        messages: usize,
        batch: usize,
    ) -> Result<Vec<Duration>, chat4all_backend::Error> {
        let mut times = Vec::new();
        for first in (0..messages).step_by(batch) {
            let facts = (0..batch.min(messages - first)).map(|_| self.say()).collect();
            let began = Instant::now();
            self.project(store, facts).await?;
            times.push(began.elapsed());
        }
        Ok(times)
    }
}

fn quantiles(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |part: usize| times[(times.len() * part / 1_000).min(times.len() - 1)].as_secs_f64() * 1e3;
    format!("p50 {:.2} ms, p99 {:.2} ms", at(500), at(990))
}

/// Seconds of CPU since the start: of this process, and of all that are called `postgres`.
struct Cpu {
    ours: f64,
    server: f64,
}

impl Cpu {
    fn now() -> Self {
        let of = |process: &str| {
            let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
            let (name, rest) = stat.rsplit_once(')').unwrap_or_default();
            let ticks = rest.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<f64>().ok());
            (name.rsplit_once('(').is_some_and(|(_, name)| name == "postgres"), ticks.sum::<f64>() / TICKS)
        };
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let names = processes.filter_map(|entry| entry.file_name().into_string().ok());
        let server = names.map(|name| of(&name)).filter(|(postgres, _)| *postgres).map(|(_, cpu)| cpu).sum();
        Self { ours: of("self").1, server }
    }

    fn used(&self) -> Self {
        let now = Self::now();
        Self { ours: now.ours - self.ours, server: now.server - self.server }
    }
}
