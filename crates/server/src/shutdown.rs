//! Telling everything that runs to come to an end.

use tokio::sync::watch;

/// Asks for the end. Dropping it asks too.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

/// Hears that the end was asked for. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<bool>);

/// A pair of both.
#[must_use]
pub fn channel() -> (Stopper, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), Shutdown(receiver))
}

impl Stopper {
    /// Asks everybody who holds a [`Shutdown`] to end.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// Waits until the end is asked for.
    pub async fn asked(&mut self) {
        // An error means that the stopper is gone, which asks as well.
        let _gone = self.0.wait_for(|stop| *stop).await;
    }

    /// Whether the end was asked for.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}
