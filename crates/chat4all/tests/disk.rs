//! A disk that is full, and a folder that cannot be written: refused in words, and nothing lost.

#![expect(clippy::unwrap_used, reason = "a test may fail by it, in its helpers too")]

use chat4all_bench::chaos::Process;
use chat4all_client::model::{RegisterRequest, SendMessage};
use chat4all_client::{Backoff, Client, ClientError, Range, Retry};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

const BINARY: &str = env!("CARGO_BIN_EXE_chat4all");
/// Room for the server's files, and little more.
const DISK_MIB: u32 = 48;
const SOON: Duration = Duration::from_secs(60);

/// A small disk that only those who enter it see, and that goes with this.
struct SmallDisk(Child);

impl SmallDisk {
    /// Mounts it at `data` for itself.
    fn new(data: &Path) -> Self {
        let script = format!(
            "mount -t tmpfs -o size={DISK_MIB}m small '{}' && echo mounted && exec sleep 600",
            data.display()
        );
        let mut holder = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "mounted\n", "a disk of its own needs user namespaces");
        Self(holder)
    }

    /// The command that starts the server where the disk is seen.
    fn around(&self, server: &[String]) -> Vec<String> {
        let holder = self.0.id().to_string();
        let wrap = ["nsenter", "--preserve-credentials", "--user", "--mount", "--target", &holder];
        wrap.iter().map(|word| (*word).to_owned()).chain(server.iter().cloned()).collect()
    }

    /// A file on it, as seen from outside.
    fn file(&self, data: &Path, name: &str) -> PathBuf {
        let root = Path::new("/proc").join(self.0.id().to_string()).join("root");
        root.join(data.strip_prefix("/").unwrap()).join(name)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Writes until nothing more fits.
fn fill(path: &Path) {
    let mut file = std::fs::File::options().create(true).append(true).open(path).unwrap();
    for size in [1 << 20, 1 << 12, 1] {
        while file.write_all(&vec![7; size]).is_ok() {}
    }
}

async fn signed_up(url: &str, name: &str) -> (Client, String) {
    let once = Retry {
        attempts: 1,
        backoff: Backoff { first: Duration::from_millis(10), longest: Duration::from_millis(10) },
        longest_wait: Duration::ZERO,
    };
    let client = Client::new(url).unwrap().with_retry(once);
    let request = RegisterRequest {
        username: name.into(),
        password: "a long password".into(),
        ..RegisterRequest::default()
    };
    let me = client.register(&request).await.unwrap();
    (client, me.user_id)
}

/// The head of the answer to a send, as it is on the wire.
async fn raw_send(url: &str, token: &str, recipient: &str) -> String {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
    let body = format!(r#"{{"recipient_id":"{recipient}","content":"does it fit? {}"}}"#, "x".repeat(10_000));
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: server\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    answer.split("\r\n\r\n").next().unwrap_or_default().to_lowercase()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_refused_in_words_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let mut process = Process::new(Path::new(BINARY), &data, &["--auth-limits", "off"]).unwrap();
    let disk = SmallDisk::new(&data);
    let line = disk.around(&process.command());
    process.start_as(&line).await.unwrap();
    let url = process.url();
    let ((alice, _), (_, bob)) = (signed_up(&url, "alice").await, signed_up(&url, "bob").await);

    let mut acked = BTreeSet::new();
    let mut sent = 0;
    let mut send = async |acked: &mut BTreeSet<String>| {
        sent += 1;
        let content = format!("{sent} {}", "y".repeat(4_000));
        let message =
            SendMessage { recipient_id: Some(bob.clone()), content: Some(content), ..SendMessage::default() };
        let answer = alice.send(&message).await;
        if let Ok(accepted) = &answer {
            acked.insert(accepted.message_id.clone());
        }
        answer
    };
    for _ in 0..20 {
        send(&mut acked).await.unwrap();
    }
    let ballast = disk.file(&data, "ballast");
    fill(&ballast);
    let full = Instant::now();
    let refusal = loop {
        match send(&mut acked).await {
            // The files have some room of their own left.
            Ok(_) => assert!(full.elapsed() < SOON, "a full disk still takes messages"),
            // No room for the index of the write-ahead file, which has the message already.
            Err(ClientError::Problem(problem)) if problem.status == 504 => {}
            Err(error) => break error,
        }
        // What the log lets go must not make room again.
        fill(&ballast);
    };
    let ClientError::Problem(problem) = &refusal else { panic!("{refusal}") };
    assert_eq!((problem.status, problem.code.as_str()), (503, "unavailable"), "{problem:?}");
    let token = alice.session().unwrap().access_token;
    let head = raw_send(&url, &token, &bob).await;
    assert!(head.starts_with("http/1.1 503") && head.contains("\r\nretry-after:"), "{head}");
    let said = process.output().to_lowercase();
    assert!(said.contains("disk is full"), "it does not say that the disk is full:\n{said}");

    std::fs::remove_file(&ballast).unwrap();
    let freed = Instant::now();
    while let Err(error) = send(&mut acked).await {
        assert!(freed.elapsed() < SOON, "it does not recover: {error}");
        sleep(Duration::from_millis(100)).await;
    }
    for _ in 0..20 {
        send(&mut acked).await.unwrap();
    }
    // Full once more, and killed in the middle of it.
    fill(&ballast);
    while send(&mut acked).await.is_ok() {
        fill(&ballast);
    }
    process.kill().unwrap();
    std::fs::remove_file(&ballast).unwrap();
    process.start_as(&line).await.unwrap();
    send(&mut acked).await.unwrap();
    let conversation = alice.direct(&bob).await.unwrap().conversation_id;
    let deadline = Instant::now() + SOON;
    loop {
        let stored = history(&alice, &conversation).await;
        let ids: BTreeSet<String> = stored.iter().cloned().collect();
        assert_eq!(ids.len(), stored.len(), "something is there twice");
        if acked.is_subset(&ids) {
            break;
        }
        assert!(Instant::now() < deadline, "lost: {:?}", acked.difference(&ids));
        sleep(Duration::from_millis(100)).await;
    }
    assert!(process.ended().unwrap().is_none());
    let output = process.output();
    assert!(!output.contains("panicked"), "{output}");
    assert_eq!(process.ready().await, Some(200));
}

async fn history(client: &Client, conversation: &str) -> Vec<String> {
    let (mut ids, mut after) = (Vec::new(), 0);
    loop {
        let page = client.messages(conversation, Range::After(after), Some(200)).await.unwrap();
        ids.extend(page.messages.into_iter().map(|message| message.message_id));
        match page.last_seq {
            Some(last) if page.has_after => after = last,
            _ => return ids,
        }
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_named_and_nothing_starts() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    // Not even root writes below a file, or makes folders in /proc.
    for data in [file, PathBuf::from("/proc/chat4all")] {
        let output = Command::new(BINARY)
            .args(["serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--data"])
            .arg(&data)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{said}");
        assert!(said.contains(&data.display().to_string()), "it does not name {}: {said}", data.display());
        assert!(!said.contains("panicked"), "{said}");
    }
}
