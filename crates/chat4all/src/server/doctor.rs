//! `chat4all doctor`: what is well and what is not, and mending it.

use super::operator_link::{Stopped, run as run_to_end, say, say_json};
use super::settings::{EngineArgs, Settings};
use chat4all_backend::check::quick_check;
use chat4all_backend::folder::DataFolder;
use chat4all_server::clock::system_clock;
use chat4all_server::installation::{EMBEDDED, EngineUrls, Installation};
use chat4all_server::operator::{Check, Level, Link, Mended, Report, mend_folder, mend_kafka};
use clap::Args;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;

/// How many files an installation has that is all in its data folder.
const EMBEDDED_FILES: usize = 3;
/// The shortest secret that is taken.
const MIN_SECRET_BYTES: u64 = 32;

/// Which installations are not mended.
const NO_MENDING: &str =
    "--mend is for an installation that is all in its data folder, or whose log is on Kafka";

/// What the doctor is asked.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 nothing is wrong (warnings do not count), 1 something is.")]
pub struct Options {
    /// One JSON object instead of lines
    #[arg(long)]
    json: bool,
    /// Where log and store are of two histories, make them one again: the log becomes a new one of a new epoch,
    /// undecided commands are taken over, and every conversation goes on from what is stored. The old log is kept aside
    /// in a data folder, and trimmed on Kafka. Only while no server runs
    #[arg(long)]
    mend: bool,
    #[command(flatten)]
    engines: EngineArgs,
}

/// Looks, mends if asked to, and says what was found.
pub fn run(options: Options) -> ExitCode {
    run_to_end(async move {
        let (report, mended) = examine(&options).await?;
        if options.json {
            say_json(&report)?;
        } else {
            for line in lines(&report, mended.as_ref()) {
                say(&line)?;
            }
        }
        Ok(if report.level() == Level::Bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    })
}

async fn examine(options: &Options) -> Result<(Report, Option<Mended>), Stopped> {
    let engines = &options.engines;
    let mut checks = vec![environment(std::env::vars_os())];
    let urls = engines.urls();
    if urls.files().is_empty() {
        checks.push(secret(engines));
        let mended = if options.mend { Some(mend(&urls).await?) } else { None };
        let link = engines.link().await?;
        let report = with_report(checks, &link).await?;
        link.close().await;
        return Ok((report, mended));
    }
    if !engines.data.is_dir() {
        let found = format!("{} is not there", engines.data.display());
        checks.push(Check::warning(
            "data folder",
            found,
            "the first start makes it; or name another with --data",
        ));
        return Ok((Report { running: false, checks, partitions: Vec::new() }, None));
    }
    checks.push(permissions(&engines.data));
    checks.push(secret(engines));
    if let Some(link) = Link::to_running(&engines.data).await {
        if options.mend {
            return Err(Stopped("a server runs on this folder; stop it first".to_owned()));
        }
        return Ok((with_report(checks, &link).await?, None));
    }
    let mut mended = None;
    let sound = files(engines, options.mend)?;
    let openable = !sound.is_empty() && sound.iter().all(|check| check.level != Level::Bad);
    if sound.is_empty() {
        checks.push(Check::ok("files", "none yet; the first start makes them"));
    }
    checks.extend(sound);
    if !openable {
        return Ok((Report { running: false, checks, partitions: Vec::new() }, None));
    }
    if options.mend {
        mended = Some(mend(&urls).await?);
    }
    let link = engines.link().await?;
    let report = with_report(checks, &link).await?;
    link.close().await;
    Ok((report, mended))
}

async fn mend(urls: &EngineUrls) -> Result<Mended, Stopped> {
    let failed = |error: chat4all_backend::Error| Stopped(error.to_string());
    if urls.files().len() == EMBEDDED_FILES {
        let data = DataFolder::open(&urls.data).map_err(failed)?;
        return mend_folder(data, &system_clock()).await.map_err(failed);
    }
    if urls.log == EMBEDDED {
        return Err(Stopped(NO_MENDING.to_owned()));
    }
    let installation = Installation::open(urls, &system_clock()).await.map_err(failed)?;
    let mended = match installation.kafka() {
        Some(log) => mend_kafka(&installation.engines, log).await.map_err(failed),
        None => Err(Stopped(NO_MENDING.to_owned())),
    };
    installation.close().await;
    mended
}

async fn with_report(checks: Vec<Check>, link: &Link) -> Result<Report, Stopped> {
    let mut report: Report = link.get("/doctor").await?;
    report.checks.splice(0..0, checks);
    Ok(report)
}

/// Settings that are misspelt are not settings, and one that does not fit keeps a server from starting.
fn environment(vars: impl Iterator<Item = (OsString, OsString)>) -> Check {
    const NAME: &str = "settings";
    // Of the terminal client.
    const OTHERS: [&str; 2] = ["CHAT4ALL_SERVER", "CHAT4ALL_AS"];
    let command = <Settings as Args>::augment_args(clap::Command::new("chat4all"));
    let known: Vec<_> = command.get_arguments().filter_map(|argument| argument.get_env()).collect();
    let unknown: Vec<String> = vars
        .filter(|(name, _)| !known.contains(&name.as_os_str()))
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| name.starts_with("CHAT4ALL_") && !OTHERS.contains(&name.as_str()))
        .collect();
    if let Err(error) = command.clone().try_get_matches_from(["chat4all"]) {
        let why = error.to_string();
        let why = why.lines().next().unwrap_or_default();
        return Check::bad(
            NAME,
            why,
            "correct that environment variable; `chat4all config --reference` lists all",
        );
    }
    if unknown.is_empty() {
        return Check::ok(NAME, "those of the environment are understood");
    }
    let advice = "nothing reads them; `chat4all config --reference` lists the names";
    Check::warning(NAME, format!("{} are set", unknown.join(", ")), advice)
}

fn permissions(data: &Path) -> Check {
    const NAME: &str = "data folder";
    let mode = match data.metadata() {
        Ok(folder) => folder.permissions().mode(),
        Err(error) => return Check::bad(NAME, error.to_string(), "run as the user the server runs as"),
    };
    let found = format!("{}, mode {:o}", data.display(), mode & 0o777);
    if mode & 0o077 != 0 {
        return Check::warning(NAME, found, format!("others may look into it: chmod 700 {}", data.display()));
    }
    Check::ok(NAME, found)
}

fn secret(engines: &EngineArgs) -> Check {
    const NAME: &str = "secret";
    if let Some(secret) = &engines.secret {
        return if (secret.trim().len() as u64) < MIN_SECRET_BYTES {
            Check::bad(NAME, "is too short", "make one with `openssl rand -hex 32`")
        } else {
            Check::ok(NAME, "given by the settings")
        };
    }
    if !engines.urls().is_embedded() {
        let advice = "give all processes the same one with CHAT4ALL_SECRET";
        return Check::bad(NAME, "is not given", advice);
    }
    let path = engines.data.join("secret");
    match path.metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Check::warning(
            NAME,
            "is not made yet",
            "the first start makes it; all tokens of another end with that",
        ),
        Err(error) => Check::bad(NAME, error.to_string(), "run as the user the server runs as"),
        Ok(file) if file.len() < MIN_SECRET_BYTES => Check::bad(
            NAME,
            format!("{} was cut short", path.display()),
            "restore it, or remove it: all sign in again",
        ),
        Ok(file) if file.permissions().mode() & 0o077 != 0 => {
            Check::bad(NAME, "others may read it", format!("chmod 600 {}", path.display()))
        }
        Ok(_) => Check::ok(NAME, "for its owner alone"),
    }
}

/// The engines' files, which nobody has open; nothing if there is none of them. `mends`: whether a lost log is about
/// to be mended.
fn files(engines: &EngineArgs, mends: bool) -> Result<Vec<Check>, Stopped> {
    let held = DataFolder::open(&engines.data).map_err(|e| Stopped(e.to_string()))?;
    let files = engines.urls().files();
    let present: Vec<bool> = files.iter().map(|name| held.file(name).is_file()).collect();
    if !present.contains(&true) {
        return Ok(Vec::new());
    }
    let check = |(name, present): (&str, bool)| match present {
        true => match quick_check(&held.file(name)) {
            Ok(faults) if faults.is_empty() => Check::ok(name, "sound"),
            Ok(faults) => Check::bad(name, faults.join("; "), "restore a backup of it"),
            Err(error) => Check::bad(name, error.to_string(), "restore a backup of it"),
        },
        false if name == "log.db" && mends => Check::warning(name, "is not there", "is made anew by mending"),
        false if name == "log.db" => Check::bad(
            name,
            "is not there",
            "restore it; if it is lost, `chat4all doctor --mend` goes on from what is stored",
        ),
        false => Check::bad(name, "is not there", "restore a backup of it"),
    };
    Ok(files.into_iter().zip(present).map(check).collect())
}

fn lines(report: &Report, mended: Option<&Mended>) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    if let Some(mended) = mended {
        lines.push(match (mended.epoch, &mended.old_log) {
            (None, _) => "mended: there was nothing to mend".to_owned(),
            (Some(epoch), None) => {
                format!("mended: a new log of epoch {epoch} with {} commands of the old one", mended.commands)
            }
            (Some(epoch), Some(old)) => format!(
                "mended: a new log of epoch {epoch} with {} commands of the old one, which is kept as {}",
                mended.commands,
                old.display()
            ),
        });
    }
    for check in &report.checks {
        let level = match check.level {
            Level::Ok => "ok  ",
            Level::Warning => "warn",
            Level::Bad => "BAD ",
        };
        lines.push(format!("{level}  {:<16} {}", check.name, check.detail));
        lines.extend(check.advice.iter().map(|advice| format!("      {:<16} -> {advice}", "")));
    }
    let server = if report.running { "a server runs" } else { "no server runs" };
    let sum = match report.level() {
        Level::Ok => "all is well",
        Level::Warning => "nothing is wrong yet",
        Level::Bad => "something is wrong",
    };
    lines.push(format!("{server}; {sum}"));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{Permissions, set_permissions};

    fn options(data: &Path, mend: bool) -> Options {
        Options { json: false, mend, engines: EngineArgs::of(data) }
    }

    async fn level(data: &Path, name: &str) -> Level {
        let (report, _) = examine(&options(data, false)).await.unwrap();
        let found = report.checks.iter().find(|check| check.name == name);
        found.unwrap_or_else(|| panic!("{name} is not among {:?}", report.checks)).level
    }

    #[tokio::test]
    async fn a_folder_is_examined_and_what_is_wrong_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        assert_eq!(level(&data, "data folder").await, Level::Warning);
        assert!(!data.exists(), "looking makes nothing");
        std::fs::create_dir(&data).unwrap();
        assert_eq!(level(&data, "files").await, Level::Ok);
        assert!(!data.join("log.db").exists(), "looking makes nothing");
        EngineArgs::of(&data).link().await.unwrap().close().await;

        let (report, _) = examine(&options(&data, false)).await.unwrap();
        assert!(report.level() < Level::Bad && !report.running, "{report:?}");
        assert_eq!(report.partitions.len(), 4);
        set_permissions(data.join("secret"), Permissions::from_mode(0o644)).unwrap();
        assert_eq!(level(&data, "secret").await, Level::Bad);
        set_permissions(&data, Permissions::from_mode(0o755)).unwrap();
        assert_eq!(level(&data, "data folder").await, Level::Warning);

        std::fs::remove_file(data.join("log.db")).unwrap();
        assert_eq!(level(&data, "log.db").await, Level::Bad);
        assert!(!data.join("log.db").exists(), "looking makes nothing");
        let (report, mended) = examine(&options(&data, true)).await.unwrap();
        assert_eq!(mended.unwrap().epoch, None, "nothing was stored that a new log must go on from");
        assert!(report.checks.iter().any(|check| check.name == "partition 3"), "{report:?}");

        std::fs::write(
            data.join("store.db"),
            "no database at all, but long enough to be read as one".repeat(100),
        )
        .unwrap();
        assert_eq!(level(&data, "store.db").await, Level::Bad);
    }

    #[test]
    fn misspelt_settings_are_named() {
        let vars = [("CHAT4ALL_LISTN", "x"), ("CHAT4ALL_DATA", "./data"), ("PATH", "/bin")];
        let check = environment(vars.into_iter().map(|(name, value)| (name.into(), value.into())));
        assert!(check.level == Level::Warning && check.detail.contains("CHAT4ALL_LISTN are"), "{check:?}");
    }

    #[test]
    fn every_line_says_what_to_do() {
        let checks = vec![Check::ok("a", "fine"), Check::bad("b", "broken", "repair it")];
        let report = Report { running: true, checks, partitions: Vec::new() };
        let lines = lines(&report, None);
        assert!(lines[1].starts_with("BAD") && lines[2].ends_with("-> repair it"), "{lines:?}");
        assert_eq!(lines[3], "a server runs; something is wrong");
    }
}
