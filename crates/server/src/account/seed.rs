use super::AccountService;
use crate::error::Result;
use chat4all_backend::accounts::{Account, NewAccount};
use chat4all_model::api::{LastSeenTo, Tokens};

impl AccountService {
    /// An account without a password, signed in: for benchmarks, where hashing thousands of passwords takes minutes.
    /// The name is taken as it is.
    ///
    /// # Errors
    /// `UsernameTaken`.
    pub async fn seed(&self, username: String) -> Result<Tokens> {
        let account = Account {
            user_id: self.new_user_id()?,
            username,
            email: None,
            display_name: None,
            avatar_file_id: None,
            time_zone: None,
            last_seen_to: LastSeenTo::Everyone,
            quiet_hours: None,
            permissions: Vec::new(),
            owner: None,
            created_at: self.ambient.now(),
        };
        let new = NewAccount { account: account.clone(), password_hash: None, invite: None };
        self.accounts.create(new).await.map_err(super::refusal)?;
        self.open_session(account).await
    }
}
