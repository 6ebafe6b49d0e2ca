//! Passwords: Argon2id, off the async threads, few at once.

use super::ambient::Ambient;
use crate::error::{Failure, Result};
use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash};
use argon2::{Algorithm, Argon2, Params, Version};
use chat4all_model::api::Code;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// What a password's hash costs, and how many may be worked on.
#[derive(Debug, Clone, Copy)]
pub struct PasswordCost {
    /// Memory of one hash, in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Hashes at once: each keeps a core and its memory busy.
    pub at_once: usize,
    /// How many may wait; more are `overloaded`.
    pub waiting: usize,
}

impl Default for PasswordCost {
    /// What OWASP recommends for Argon2id.
    fn default() -> Self {
        Self { memory_kib: 19 * 1024, passes: 2, at_once: 2, waiting: 64 }
    }
}

/// Makes and checks hashes of passwords.
pub(super) struct Passwords {
    argon2: Argon2<'static>,
    turns: Arc<Semaphore>,
    places: Arc<Semaphore>,
    /// The hash of no password, at the usual cost.
    nobody: String,
}

impl Passwords {
    pub(super) fn new(cost: PasswordCost) -> Result<Self> {
        let params = Params::new(cost.memory_kib, cost.passes, 1, None).map_err(Failure::internal)?;
        let (memory, passes) = (cost.memory_kib, cost.passes);
        Ok(Self {
            argon2: Argon2::new(Algorithm::Argon2id, Version::V0x13, params),
            turns: Arc::new(Semaphore::new(cost.at_once)),
            places: Arc::new(Semaphore::new(cost.at_once + cost.waiting)),
            nobody: format!("$argon2id$v=19$m={memory},t={passes},p=1${}${}", "A".repeat(22), "A".repeat(43)),
        })
    }

    /// The hash of a password, in PHC form.
    pub(super) async fn hash(&self, password: String, ambient: &Ambient) -> Result<String> {
        let (argon2, salt) = (self.argon2.clone(), ambient.random::<16>());
        self.run(move || {
            let hash: PasswordHash = argon2.hash_password_with_salt(password.as_bytes(), &salt)?;
            Ok(hash.to_string())
        })
        .await?
        .map_err(|e: argon2::password_hash::Error| Failure::internal(e))
    }

    /// Whether the password has this hash. Without a hash it takes as long, so that the time does not tell
    /// whether there is such an account.
    pub(super) async fn verify(&self, password: String, hash: Option<String>) -> Result<bool> {
        let argon2 = self.argon2.clone();
        let exists = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.nobody.clone());
        let equal =
            self.run(move || argon2.verify_password(password.as_bytes(), hash.as_str()).is_ok()).await?;
        Ok(equal && exists)
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let overloaded = |_| Failure::new(Code::Overloaded, "too many people are signing in now");
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(overloaded)?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(Failure::internal)?;
        tokio::task::spawn_blocking(move || {
            // Given back by the thread: a caller who went away does not make room while his hash is still made.
            let _held = (place, turn);
            work()
        })
        .await
        .map_err(Failure::internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passwords(at_once: usize, waiting: usize) -> Passwords {
        Passwords::new(PasswordCost { memory_kib: 64, passes: 1, at_once, waiting }).unwrap()
    }

    #[tokio::test]
    async fn a_hash_knows_its_password_and_is_salted() {
        let (passwords, ambient) = (passwords(1, 8), Ambient::system());
        let hash = passwords.hash("correct horse".into(), &ambient).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{hash}");
        assert_ne!(hash, passwords.hash("correct horse".into(), &ambient).await.unwrap());
        assert!(passwords.verify("correct horse".into(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify("correct horsf".into(), Some(hash)).await.unwrap());
        assert!(!passwords.verify("correct horse".into(), None).await.unwrap());
    }

    #[test]
    fn the_hash_of_nobody_costs_as_much_as_any() {
        let passwords = Passwords::new(PasswordCost::default()).unwrap();
        let nobody = PasswordHash::new(&passwords.nobody).unwrap();
        assert_eq!(nobody.params.to_string(), "m=19456,t=2,p=1");
        assert_eq!(nobody.hash.unwrap().len(), 32);
    }

    #[tokio::test]
    async fn more_than_may_wait_are_refused_at_once() {
        let passwords = passwords(1, 1);
        let held = Arc::clone(&passwords.places).try_acquire_many_owned(2).unwrap();
        let refused = passwords.verify("x".into(), None).await.unwrap_err();
        assert_eq!(refused.code, Code::Overloaded);
        drop(held);
        assert!(!passwords.verify("x".into(), None).await.unwrap());
    }
}
