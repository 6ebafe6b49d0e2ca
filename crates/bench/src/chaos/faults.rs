//! What goes wrong during the storm, and how often it did.

use super::Result;
use super::process::Process;
use chat4all_client::model::AddParticipants;
use chat4all_client::{Client, LiveSender};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a client that is cut off stays away.
const AWAY: Duration = Duration::from_secs(2);

/// How often what was done.
#[derive(Debug, Default, Clone, Copy)]
pub struct Toll {
    /// `kill -9` of the server.
    pub kills: u64,
    /// Times it was stopped for a while (SIGSTOP), and went on.
    pub freezes: u64,
    /// Times it was asked to stop (SIGTERM).
    pub stops: u64,
    /// Clients cut off, one at a time.
    pub cuts: u64,
    /// Times all clients were cut off at once.
    pub stampedes: u64,
    /// Members removed from a group; most were added again.
    pub removals: u64,
}

/// Kills, freezes and stops the server until the end, and has it running then.
pub(super) async fn server(
    mut process: Process,
    every: Duration,
    until: Instant,
    mut rng: StdRng,
) -> Result<(Process, Toll)> {
    let mut toll = Toll::default();
    loop {
        let pause = every.mul_f64(rng.random_range(0.1..1.9));
        if Instant::now() + pause >= until {
            return Ok((process, toll));
        }
        sleep(pause).await;
        match rng.random_range(0..10) {
            0 => {
                process.signal("STOP").await?;
                sleep(Duration::from_millis(rng.random_range(300..3_000))).await;
                toll.freezes += 1;
                process.signal("CONT").await?;
                continue;
            }
            1 => {
                process.stop().await?;
                toll.stops += 1;
            }
            _ => {
                process.kill()?;
                toll.kills += 1;
            }
        }
        sleep(Duration::from_millis(rng.random_range(0..400))).await;
        process.start().await?;
        // Some die again before anybody is back.
        if rng.random_bool(0.1) {
            process.kill()?;
            toll.kills += 1;
            process.start().await?;
        }
    }
}

/// Cuts each client off about every `every`, and now and then all at once.
pub(super) async fn clients(
    senders: Vec<LiveSender>,
    every: Duration,
    until: Instant,
    mut rng: StdRng,
) -> Toll {
    let mut toll = Toll::default();
    let share = every.div_f64(senders.len().max(1) as f64);
    loop {
        let pause = share.mul_f64(rng.random_range(0.1..1.9));
        if Instant::now() + pause >= until {
            return toll;
        }
        sleep(pause).await;
        if rng.random_bool(0.02) {
            senders.iter().for_each(|sender| sender.cut_for(AWAY));
            toll.stampedes += 1;
        } else if let Some(sender) = senders.choose(&mut rng) {
            sender.cut_for(AWAY);
            toll.cuts += 1;
        }
    }
}

/// A group whose members come and go.
pub(super) struct Door {
    /// Who may remove and add.
    pub(super) admin: Client,
    /// The group.
    pub(super) group: String,
    /// Who may be removed.
    pub(super) members: Vec<String>,
}

/// Removes members and adds them again.
pub(super) async fn members(doors: Vec<Door>, every: Duration, until: Instant, mut rng: StdRng) -> Toll {
    let mut toll = Toll::default();
    loop {
        sleep(every.mul_f64(rng.random_range(0.1..1.9))).await;
        let Some(door) = doors.choose(&mut rng).filter(|_| Instant::now() < until) else { break };
        let Some(member) = door.members.choose(&mut rng) else { continue };
        // Not there, by an earlier removal whose adding failed, or the server is away: there is another time.
        if door.admin.remove_participant(&door.group, member).await.is_ok() {
            toll.removals += 1;
        }
        if rng.random_bool(0.9) {
            sleep(Duration::from_millis(rng.random_range(0..1_500))).await;
            let request = AddParticipants { user_ids: vec![member.clone()], role: None };
            let _ = door.admin.add_participants(&door.group, &request).await;
        }
    }
    // Nearly all are there for what follows; those of the last group learn what it is to be gone.
    for door in doors.iter().rev().skip(1) {
        let request = AddParticipants { user_ids: door.members.clone(), role: None };
        let _ = door.admin.add_participants(&door.group, &request).await;
    }
    toll
}

impl std::ops::AddAssign for Toll {
    fn add_assign(&mut self, other: Self) {
        self.kills += other.kills;
        self.freezes += other.freezes;
        self.stops += other.stops;
        self.cuts += other.cuts;
        self.stampedes += other.stampedes;
        self.removals += other.removals;
    }
}
