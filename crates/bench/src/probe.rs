//! What the kernel knows of a process, a folder and this machine.

use crate::Result;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// Linux gives `/proc` times in hundredths of a second on every architecture (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// User and system time that a process has used, all threads.
pub(crate) fn cpu_time(pid: u32) -> Result<Duration> {
    parse_cpu(&fs::read_to_string(format!("/proc/{pid}/stat"))?).ok_or_else(|| "an odd /proc/PID/stat".into())
}

fn parse_cpu(stat: &str) -> Option<Duration> {
    // The name in parentheses may hold spaces: the fields are counted from behind it.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(TICK * (user + system))
}

/// Resident memory in KiB.
pub(crate) fn rss_kib(pid: u32) -> Result<f64> {
    status_kib(pid, "VmRSS:")
}

/// The most resident memory in KiB since the start or since `reset_peak`.
pub(crate) fn peak_rss_kib(pid: u32) -> Result<f64> {
    status_kib(pid, "VmHWM:")
}

/// The peak is counted anew from here.
pub(crate) fn reset_peak(pid: u32) -> Result<()> {
    Ok(fs::write(format!("/proc/{pid}/clear_refs"), "5")?)
}

fn status_kib(pid: u32, key: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let value = status.lines().find_map(|line| line.strip_prefix(key)).ok_or("an odd /proc/PID/status")?;
    Ok(value.trim().trim_end_matches("kB").trim().parse()?)
}

/// Bytes that the files of a folder take on disk, as `du` counts them.
pub(crate) fn disk_bytes(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { disk_bytes(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(bytes)
}

/// Files that this process, and so each child, may have open.
pub(crate) fn open_files_limit() -> Result<u64> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).ok_or("odd limits")?;
    match line.split_ascii_whitespace().next() {
        Some("unlimited") => Ok(u64::MAX),
        Some(soft) => Ok(soft.parse()?),
        None => Err("odd limits".into()),
    }
}

/// Refuses to start what would run out of file descriptors half way.
pub(crate) fn require_files(sockets: usize) -> Result<()> {
    let needed = sockets as u64 + 200;
    let limit = open_files_limit()?;
    if limit < needed {
        return Err(
            format!("{needed} open files are needed, {limit} are allowed: `ulimit -n {needed}`").into()
        );
    }
    Ok(())
}

/// One line about the machine, without names.
pub(crate) fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let meminfo = read("/proc/meminfo");
    let memory_kib: u64 = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse().ok())
        .unwrap_or(0);
    let kernel = read("/proc/sys/kernel/osrelease");
    let kernel = kernel.split('-').next().unwrap_or_default().trim();
    format!("{cores} cores ({model}), {} GiB, Linux {kernel}; loopback, no TLS", memory_kib >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_skips_a_name_with_spaces() {
        let stat = "12 (a) b c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20";
        assert_eq!(parse_cpu(stat), Some(Duration::from_secs(2)));
        assert_eq!(parse_cpu("12 (a"), None);
    }

    #[test]
    fn this_process_has_memory_and_a_limit() {
        let pid = std::process::id();
        assert!(rss_kib(pid).unwrap() > 100.0);
        assert!(peak_rss_kib(pid).unwrap() > 100.0);
        assert!(cpu_time(pid).unwrap() < Duration::from_secs(3600));
        assert!(require_files(1).is_ok());
        assert!(require_files(usize::MAX >> 1).is_err() || open_files_limit().unwrap() == u64::MAX);
    }

    #[test]
    fn a_folder_weighs_its_files() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("deep")).unwrap();
        fs::write(folder.path().join("deep/file"), vec![1; 100_000]).unwrap();
        assert!((100_000..200_000).contains(&disk_bytes(folder.path()).unwrap()));
    }
}
