//! A storm over a real server: processes killed and frozen under load, clients cut off and sent away, members
//! removed and added, while everybody writes. At the end everything that was promised, seen and stored is compared.

mod check;
mod cluster;
mod evidence;
mod faults;
mod findings;
mod fold;
mod gather;
mod ground;
mod keys;
mod person;
mod process;
mod report;

pub use check::check;
pub use cluster::{Cluster, ClusterOptions};
pub use evidence::{Entry, Evidence, Journal, Promise, Shown, Step, View, What};
pub use faults::Toll;
pub use findings::{Findings, Kind};
pub use process::Process;
pub use report::Report;

use chat4all_client::model::{RegisterRequest, close};
use chat4all_client::{Backoff, Client, Retry};
use faults::Door;
use ground::Ground;
use person::{Orders, Person, Phase, Role};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use report::Circumstances;
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// What can go wrong with the storm itself is told to whoever runs it.
pub type Fault = Box<dyn std::error::Error + Send + Sync>;
/// Of the storm itself.
pub type Result<T, E = Fault> = std::result::Result<T, E>;

const PASSWORD: &str = "stormy weather";
/// How often the fan-out of the last burst is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// A burst of so many is more than a socket's buffers hold, so that who does not read must be cut off.
const SLOW_BURST: u32 = 10_000;
/// Groups in which nothing has happened for so long have calmed down.
const STILL: Duration = Duration::from_secs(2);
/// The longest that the burst may take.
const BURST_WITHIN: Duration = Duration::from_secs(180);

/// How hard it blows.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The server to try; by default the `chat4all` beside this program.
    #[arg(long)]
    pub server_bin: Option<PathBuf>,
    /// A further flag of the server, as `--server-arg=--log-url=…`; several times for several.
    #[arg(long = "server-arg")]
    pub server_args: Vec<String>,
    /// Clients; one of them is away for long, and one stops reading.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(4..=500))]
    pub clients: u32,
    /// Groups; there are direct conversations besides.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub conversations: u32,
    /// Length of the storm.
    #[arg(long, default_value_t = 60.0)]
    pub seconds: f64,
    /// Seconds between two deaths of the server, on average.
    #[arg(long, default_value_t = 2.0)]
    pub kill_every: f64,
    /// Seconds between two cuts of a client, on average.
    #[arg(long, default_value_t = 3.0)]
    pub cut_every: f64,
    /// Seconds between two removals of a member, on average.
    #[arg(long, default_value_t = 1.0)]
    pub remove_every: f64,
    /// Actions a second and client, on average.
    #[arg(long, default_value_t = 10.0)]
    pub rate: f64,
    /// Messages sent in one burst at the end, while one client is away and one does not read.
    #[arg(long, default_value_t = 10_000)]
    pub burst: u32,
    /// The same seed makes the same people do the same things; what the machine makes of it varies.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// A file for the report, in Markdown.
    #[arg(long)]
    pub report: Option<PathBuf>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "its fields are told one by one")]
    pub over: ClusterOptions,
}

impl Options {
    /// The command that blows the same storm elsewhere.
    #[must_use]
    pub fn command(&self) -> String {
        let numbers = format!(
            "--clients {} --conversations {} --burst {} --seed {}",
            self.clients, self.conversations, self.burst, self.seed
        );
        let every = format!(
            "--kill-every {} --cut-every {} --remove-every {}",
            self.kill_every, self.cut_every, self.remove_every
        );
        match &self.over.cluster {
            None => format!(
                "chat4all-bench chaos {numbers} --seconds {} {every} --rate {}",
                self.seconds, self.rate
            ),
            Some(_) => {
                let chosen = self.over.command();
                format!("make chaos-cluster ARGS=\"{chosen}{numbers} {every} --rate {}\"", self.rate)
            }
        }
    }
}

/// The whole storm.
///
/// # Errors
/// If the storm itself fails; what the server does wrong is in the report.
pub async fn run(options: &Options) -> Result<Report> {
    let folder = tempfile::tempdir()?;
    let ground = Ground::of(options, &folder.path().join("data")).await?;
    let mut rng = StdRng::seed_from_u64(options.seed);
    let (people, doors) = settle(options, &ground.url(), &mut rng).await?;
    let clients: HashMap<String, Client> =
        people.iter().map(|person| (person.user().to_owned(), person.client.clone())).collect();
    let senders: Vec<_> = people.iter().filter(|p| p.role != Role::Away).map(Person::sender).collect();
    let reader = people.first().map(|person| person.user().to_owned()).unwrap_or_default();
    let busy = people.iter().filter(|person| person.role == Role::Busy).count();

    let calm = Orders { phase: Phase::Wait, away: false, stopped: false };
    let (orders, ordered) = watch::channel(calm);
    let mut running = JoinSet::new();
    for person in people {
        running.spawn(person.run(ordered.clone()));
    }
    drop(ordered);

    let length = ground.length(options);
    let until = Instant::now() + length;
    orders.send_replace(Orders { phase: Phase::Storm, ..calm });
    let every = |seconds: f64| Duration::from_secs_f64(seconds);
    let mut seeds = || StdRng::seed_from_u64(rng.random());
    let (killing, cutting, moving) = (seeds(), seeds(), seeds());
    let any_admin = doors.iter().map(|door| (door.admin.clone(), door.group.clone())).collect::<Vec<_>>();
    let (killed, cut, moved, before) = tokio::join!(
        ground.storm(every(options.kill_every), until, killing),
        faults::clients(senders.clone(), every(options.cut_every), until, cutting),
        faults::members(doors, every(options.remove_every), until, moving),
        async {
            sleep(length / 4).await;
            orders.send_replace(Orders { phase: Phase::Storm, away: true, ..calm });
            heads(&any_admin).await
        }
    );
    let (ground, mut toll) = killed?;
    toll += cut;
    toll += moved;

    let each = options.burst.div_ceil(u32::try_from(busy).unwrap_or(1).max(1));
    orders.send_replace(Orders { phase: Phase::Burst(each), away: true, stopped: true });
    if options.burst > 0 {
        calm_down(&any_admin).await;
    }
    // All of them back at once, with the one that was away and the one that did not read.
    senders.iter().skip(1).for_each(|sender| sender.cut_for(Duration::from_millis(500)));
    toll.stampedes += 1;
    let missed_while_away = heads(&any_admin).await.saturating_sub(before);
    orders.send_replace(Orders { phase: Phase::Quiet, ..calm });

    let mut journals = Vec::new();
    while let Some(journal) = running.join_next().await {
        journals.push(journal?);
    }
    let evidence = gather::gather(&clients, journals).await?;
    let mut findings = check(&evidence);
    let reader = evidence.journals.iter().find(|journal| journal.user == reader);
    if options.burst >= SLOW_BURST
        && !reader.is_some_and(|reader| reader.closes.contains_key(&close::TOO_SLOW))
    {
        findings.add(Kind::SlowReader, || format!("closed with {:?}", reader.map(|reader| &reader.closes)));
    }
    let (crashes, aftermath) = ground.end().await?;
    for crash in crashes {
        findings.add(Kind::Crash, || crash);
    }
    let around = Circumstances { toll, aftermath, missed_while_away };
    Ok(Report::new(options, &evidence, findings, &around))
}

/// Waits until the groups stand still, or for as long as a burst may take.
async fn calm_down(groups: &[(Client, String)]) {
    let begun = Instant::now();
    let (mut head, mut since) = (0, begun);
    while since.elapsed() < STILL && begun.elapsed() < BURST_WITHIN {
        sleep(LOOK).await;
        let now = heads(groups).await;
        if now != head {
            (head, since) = (now, Instant::now());
        }
    }
}

/// The sum of the heads of all groups; what cannot be read counts nothing.
async fn heads(groups: &[(Client, String)]) -> u64 {
    let mut sum = 0;
    for (admin, group) in groups {
        sum += admin.conversation(group).await.map_or(0, |conversation| conversation.last_seq);
    }
    sum
}

/// Accounts, groups that overlap, friends.
async fn settle(options: &Options, url: &str, rng: &mut StdRng) -> Result<(Vec<Person>, Vec<Door>)> {
    let mut people = Vec::new();
    for at in 0..options.clients {
        let role = match at {
            0 => Role::Reader,
            1 => Role::Away,
            _ => Role::Busy,
        };
        people.push(newcomer(options, url, at, role, rng.random()).await?);
    }
    let ids: Vec<String> = people.iter().map(|person| person.user().to_owned()).collect();
    let mut doors = Vec::new();
    for at in 0..options.conversations as usize {
        // The admin is one of the busy; the reader and the one that is away are in every group.
        let admin = 2 + at % (people.len() - 2);
        let mut others: Vec<usize> = (2..people.len()).filter(|other| *other != admin).collect();
        others.shuffle(rng);
        others.truncate(others.len().div_ceil(2).max(1));
        let members: Vec<String> =
            [0, 1].iter().chain(&others).filter_map(|other| ids.get(*other)).cloned().collect();
        let Some(creator) = people.get(admin) else { continue };
        let group = creator.client.group(&format!("storm {at}"), members).await?.conversation_id;
        let movable = others.iter().filter_map(|other| ids.get(*other)).cloned().collect();
        doors.push(Door { admin: creator.client.clone(), group: group.clone(), members: movable });
        for member in others.into_iter().chain([0, 1, admin]) {
            if let Some(person) = people.get_mut(member) {
                person.groups.push(group.clone());
            }
        }
    }
    // Neighbours write to each other, both first.
    for at in 2..people.len() {
        let friend = if at % 2 == 0 { at + 1 } else { at - 1 };
        if let (Some(id), Some(person)) = (ids.get(friend), people.get_mut(at)) {
            person.friends.push(id.clone());
        }
    }
    Ok((people, doors))
}

async fn newcomer(options: &Options, url: &str, at: u32, role: Role, seed: u64) -> Result<Person> {
    let backoff = Backoff { first: Duration::from_millis(50), longest: Duration::from_millis(500) };
    let retry = Retry { attempts: 60, backoff, longest_wait: Duration::from_secs(5) };
    let (client, other) = (Client::new(url)?.with_retry(retry), Client::new(url)?.with_retry(retry));
    let request = RegisterRequest {
        username: format!("storm{at}"),
        password: PASSWORD.into(),
        ..RegisterRequest::default()
    };
    let me = client.register(&request).await?;
    other.login(&request.username, PASSWORD).await?;
    Ok(Person::new(client, other, me.user_id, role, options.rate, seed))
}
