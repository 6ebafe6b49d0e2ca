//! What operators do to an installation over real engines, with the real binary: move it there, rebuild it, mend it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod program;
mod sets;

use chat4all_bench::chaos::Process;
use chat4all_client::model::{RegisterRequest, SendMessage};
use chat4all_client::{Client, Range};
use libtest_mimic::{Arguments, Failed, Trial};
use program::{json, persist, run};
use serde_json::Value;
use sets::{Place, SETS, Set};
use std::path::Path;
use std::process::{ExitCode, Output};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

const BINARY: &str = env!("CARGO_BIN_EXE_chat4all");
const PASSWORD: &str = "a long password";
/// Enough for several to hold conversations, and quick to make.
const PARTITIONS: &str = "--partitions=4";
/// How long a message may take to be stored, in seconds.
const PATIENCE: u32 = 30;

type Case = (&'static str, fn(&Set) -> Result<(), Failed>);

const CASES: [Case; 2] = [
    ("an_installation_is_moved_there_and_goes_on", moved),
    ("an_installation_whose_log_is_lost_is_mended", mended),
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = SETS.iter().filter(|set| !set.is_embedded()).flat_map(|set| {
        CASES.iter().map(move |(name, case)| {
            Trial::test(format!("{}::{name}", set.name), move || case(set)).with_ignored_flag(!set.is_there())
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn block_on(work: impl Future<Output = ()>) -> Result<(), Failed> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?.block_on(work);
    Ok(())
}

/// Two people, their words, and a server of the installation that they are in.
struct World {
    folder: TempDir,
    alice: Option<Client>,
    conversation: String,
    /// What they said.
    said: Vec<String>,
}

fn moved(set: &Set) -> Result<(), Failed> {
    let place = set.place(&format!("moved{}", std::process::id())).ok_or("an engine is not there")?;
    block_on(async {
        let mut world = World::new();
        let (mut server, data) = world.server("source", &[]);
        server.start().await.unwrap();
        world.sign_up(&server).await;
        world.say(&server, 30).await;
        server.stop().await.unwrap();
        let seed =
            ["admin", "seed-messages", "--count", "3000", "--conversations", "30", "--data", data.as_str()];
        assert!(run(&seed).status.success());

        let mut migrate =
            vec!["migrate", "--from", &data, "--to", &place.log, "--to", &place.store, "--json"];
        migrate.push(PARTITIONS);
        // Who was killed is in the group for six seconds, in which the next one waits.
        let (soon, mut kills) = (Duration::from_millis(500), 0);
        let (report, complete) = json(&persist(&migrate, soon, 8.0, || kills += 1).await);
        assert!(complete && report["differences"]["count"] == 0, "{report}");
        assert!(kills >= 1, "it was over before it was killed");

        let flags = place.flags();
        let (mut server, _) = world.server("target", &flags);
        server.start().await.unwrap();
        world.sign_in(&server).await;
        world.say(&server, 10).await;
        server.stop().await.unwrap();
        world.is_sound(&flags);
        let mut rebuild = vec!["rebuild", "--write"];
        rebuild.extend(flags.iter().map(String::as_str));
        let rebuilt = world.json_of(&rebuild);
        assert_eq!(rebuilt["before"]["differences"]["count"], 0, "{rebuilt}");
        assert_eq!(rebuilt["after"]["differences"]["count"], 0, "{rebuilt}");
        assert_eq!(rebuilt["after"]["counts"]["messages"], 3_040, "{rebuilt}");

        server.start().await.unwrap();
        world.say(&server, 1).await;
        server.stop().await.unwrap();
    })
}

fn mended(set: &Set) -> Result<(), Failed> {
    let run_name = format!("mended{}", std::process::id());
    let there = |run: &str| set.place(run).ok_or("an engine is not there");
    let (place, lost, aside) =
        (there(&run_name)?, there(&format!("{run_name}_b"))?, there(&format!("{run_name}_c"))?);
    block_on(async {
        let mut world = World::new();
        let (mut server, _) = world.server("before", &[place.flags(), vec![PARTITIONS.into()]].concat());
        server.start().await.unwrap();
        world.sign_up(&server).await;
        world.say(&server, 20).await;
        server.stop().await.unwrap();

        // Another log stands where the log was, with three commands that nobody has decided.
        let elsewhere = Place { store: aside.store, log: lost.log.clone(), bus: place.bus.clone() };
        let accounts = format!("--accounts-url={}", place.store);
        let more = vec![PARTITIONS.into(), accounts, "--pause-router".into()];
        let (mut server, _) = world.server("undecided", &[elsewhere.flags(), more].concat());
        server.start().await.unwrap();
        world.sign_in(&server).await;
        for n in 0..3 {
            world.send(&format!("undecided {n}")).await;
        }
        server.stop().await.unwrap();

        let flags = Place { log: lost.log, ..place }.flags();
        let sick = world.doctor(&flags, &[]);
        let (report, well) = json(&sick);
        assert!(!well && report.to_string().contains("two histories"), "{report}");
        let output = world.doctor(&flags, &["--mend"]);
        assert!(output.status.success(), "{output:?}");
        let again = world.doctor(&flags, &["--mend"]);
        assert!(again.status.success(), "there is nothing to mend any more: {again:?}");

        let (mut server, _) = world.server("after", &flags);
        server.start().await.unwrap();
        world.sign_in(&server).await;
        world.say(&server, 5).await;
        server.stop().await.unwrap();
        world.is_sound(&flags);
    })
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, alice: None, conversation: String::new(), said: Vec::new() }
    }

    /// A server with these flags, and its data folder.
    fn server(&self, name: &str, flags: &[String]) -> (Process, String) {
        let data = self.folder.path().join(name);
        let mut all = vec!["--auth-limits=off"];
        all.extend(flags.iter().map(String::as_str));
        let process = Process::new(Path::new(BINARY), &data, &all).unwrap();
        (process, data.display().to_string())
    }

    async fn sign_up(&mut self, server: &Process) {
        let mut people = Vec::new();
        for name in ["alice", "bob"] {
            let client = Client::new(&server.url()).unwrap();
            let request = RegisterRequest {
                username: name.into(),
                password: PASSWORD.into(),
                ..RegisterRequest::default()
            };
            people.push((client.register(&request).await.unwrap().user_id, client));
        }
        let (_, alice) = people.swap_remove(0);
        self.conversation = alice.direct(&people[0].0).await.unwrap().conversation_id;
        self.alice = Some(alice);
    }

    async fn sign_in(&mut self, server: &Process) {
        let alice = Client::new(&server.url()).unwrap();
        alice.login("alice", PASSWORD).await.unwrap();
        self.alice = Some(alice);
    }

    fn alice(&self) -> &Client {
        self.alice.as_ref().unwrap()
    }

    /// Sends a message that is accepted.
    async fn send(&mut self, text: &str) {
        let message = SendMessage {
            conversation_id: Some(self.conversation.clone()),
            content: Some(text.into()),
            ..SendMessage::default()
        };
        self.alice().send(&message).await.unwrap();
        self.said.push(text.to_owned());
    }

    /// Says so many things, and sees that everything that was ever said is there, once, in order.
    async fn say(&mut self, server: &Process, count: usize) {
        for _ in 0..count {
            let text = format!("{} of {}", self.said.len(), server.url());
            self.send(&text).await;
        }
        let deadline = Instant::now() + Duration::from_secs(PATIENCE.into());
        loop {
            let page = self.alice().messages(&self.conversation, Range::After(0), Some(200)).await;
            // A router may still be on its way to the partition.
            let texts = page.map(|page| {
                page.messages.iter().filter_map(|message| message.content.clone()).collect::<Vec<_>>()
            });
            if texts.as_ref().is_ok_and(|texts| *texts == self.said) {
                return;
            }
            let log = || server.output();
            assert!(Instant::now() < deadline, "{texts:?} instead of {:?}:\n{}", self.said, log());
            sleep(Duration::from_millis(50)).await;
        }
    }

    fn doctor(&self, flags: &[String], further: &[&str]) -> Output {
        let mut line = vec!["doctor", "--json"];
        line.extend(further);
        line.extend(flags.iter().map(String::as_str));
        let data = self.folder.path().join("doctor").display().to_string();
        line.extend(["--data", &data]);
        run(&line)
    }

    /// The one object that a command printed, which must end well. It works in a folder of its own.
    fn json_of(&self, line: &[&str]) -> Value {
        let data = self.folder.path().join("tool");
        std::fs::create_dir_all(&data).unwrap();
        let mut line = line.to_vec();
        let data = data.display().to_string();
        line.extend(["--json", "--data", &data]);
        let (value, well) = json(&run(&line));
        assert!(well, "{line:?}: {value}");
        value
    }

    /// Every table is what the events give.
    fn is_sound(&self, flags: &[String]) {
        let mut line = vec!["rebuild"];
        line.extend(flags.iter().map(String::as_str));
        let report = self.json_of(&line);
        assert_eq!(report["differences"]["count"], 0, "{report}");
    }
}
