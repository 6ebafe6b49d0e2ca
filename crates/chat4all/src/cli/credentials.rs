use super::failure::Failure;
use chat4all_client::{Session, SessionStore};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

/// Where the session of one account on one server is kept: a file only its owner can read.
pub(super) struct CredentialsFile {
    path: PathBuf,
}

/// What is in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    session: Option<Session>,
    /// Only a password that was made here: nobody else knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    password: Option<String>,
}

impl CredentialsFile {
    /// Of `name` on `server`; where no name is given, of the only account there is.
    pub(super) fn find(server: &str, name: Option<&str>) -> Result<(Self, String), Failure> {
        Self::find_in(&state_folder()?, server, name)
    }

    fn find_in(state: &Path, server: &str, name: Option<&str>) -> Result<(Self, String), Failure> {
        let folder = state.join(folder_name(server));
        let name = match name {
            Some(name) => name.to_lowercase(),
            None => only_account(&folder)?,
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
            return Err(Failure::Said(format!("{name:?} is no username: 3-32 of a-z 0-9 _ . -")));
        }
        Ok((Self { path: folder.join(format!("{name}.json")) }, name))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn read(&self) -> Kept {
        // A file that cannot be read is a session that must be made anew.
        fs::read(&self.path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// The password that was made here, if one was.
    pub(super) fn password(&self) -> Option<String> {
        self.read().password
    }

    /// Keeps a password before it is used, so that no account exists whose password nobody has.
    pub(super) fn keep_password(&self, password: &str) -> io::Result<()> {
        self.write(&Kept { password: Some(password.into()), ..self.read() })
    }

    fn write(&self, kept: &Kept) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        replace(&self.path, &serde_json::to_vec_pretty(kept)?)
    }
}

impl SessionStore for CredentialsFile {
    fn load(&self) -> Option<Session> {
        self.read().session
    }

    fn save(&self, session: &Session) -> io::Result<()> {
        self.write(&Kept { session: Some(session.clone()), ..self.read() })
    }
}

/// Writes a file of mode 0600 so that a reader sees the old content or the new, and a crash leaves one of them.
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}-{number}", std::process::id()));
    let fresh = path.with_file_name(name);
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    let renamed = file.write_all(content).and_then(|()| fs::rename(&fresh, path));
    if renamed.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    renamed
}

fn state_folder() -> Result<PathBuf, Failure> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = set("XDG_STATE_HOME").or_else(|| set("HOME").map(|home| home.join(".local/state")));
    let missing = || Failure::Said("set HOME or XDG_STATE_HOME: that is where sessions are kept".into());
    state.map(|state| state.join("chat4all")).ok_or_else(missing)
}

fn folder_name(server: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '_' };
    server.trim_end_matches('/').chars().map(plain).collect()
}

fn only_account(folder: &Path) -> Result<String, Failure> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".json").map(Into::into))
        .collect();
    match names.as_slice() {
        [name] => Ok(name.clone()),
        [] => Err(Failure::NotSignedIn("say who you are: --as NAME".into())),
        names => Err(Failure::NotSignedIn(format!("say who you are: --as {}", names.join(" | ")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn keeps_a_session_for_its_owner_alone() {
        let state = tempfile::tempdir().unwrap();
        let server = "http://127.0.0.1:8080/";
        let (file, _) = CredentialsFile::find_in(state.path(), server, Some("Alice")).unwrap();
        assert_eq!(file.load(), None);
        file.keep_password("secret").unwrap();
        let session = Session {
            user_id: "1".into(),
            username: "alice".into(),
            access_token: "a".into(),
            renew_at: 5,
            refresh_token: "r".into(),
        };
        file.save(&session).unwrap();
        let mode = fs::metadata(file.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let (again, name) = CredentialsFile::find_in(state.path(), "http://127.0.0.1:8080", None).unwrap();
        assert_eq!(name, "alice");
        assert_eq!((again.load(), again.password()), (Some(session), Some("secret".into())));
        let beside = fs::read_dir(file.path().parent().unwrap()).unwrap().count();
        assert_eq!(beside, 1, "no half-written file stays");
    }

    #[test]
    fn a_name_cannot_lead_elsewhere() {
        let state = tempfile::tempdir().unwrap();
        for name in ["../x", "", ".", "a/b", "a b", "é"] {
            assert!(CredentialsFile::find_in(state.path(), "http://h", Some(name)).is_err(), "{name}");
        }
    }
}
