//! Ctrl-C and SIGTERM: at once while nothing is at stake, gently while long work is under way.

use signal_hook::consts::{SIGCHLD, SIGINT, SIGTERM};
use signal_hook::flag;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::cli::error::Exit;

/// What the signal handlers know.
///
/// The handlers do nothing but set and read two flags, in this order: *exit, if that is to happen at once*; *remember the interruption*; *from now on, at once*.
pub struct Signals {
    interrupted: Arc<AtomicBool>,
    at_once: Arc<AtomicBool>,
}

impl Default for Signals {
    fn default() -> Self {
        Self { interrupted: Arc::new(AtomicBool::new(false)), at_once: Arc::new(AtomicBool::new(true)) }
    }
}

impl Signals {
    /// Installs the handlers.
    pub fn install() -> io::Result<Self> {
        let signals = Self::default();
        for signal in [SIGINT, SIGTERM] {
            flag::register_conditional_shutdown(
                signal,
                i32::from(Exit::Interrupted.code()),
                Arc::clone(&signals.at_once),
            )?;
            flag::register(signal, Arc::clone(&signals.interrupted))?;
            flag::register(signal, Arc::clone(&signals.at_once))?;
        }
        // Whoever starts us may ignore the ends of children. That is inherited, and then nobody learns how a program ended: neither a password command nor a `pg_dump`.
        flag::register(SIGCHLD, Arc::default())?;
        Ok(signals)
    }

    /// From now until the guard is dropped a first signal only asks to stop.
    pub fn gently(&self) -> Gently<'_> {
        self.at_once.store(self.interrupted(), Ordering::SeqCst);
        Gently(self)
    }

    /// Whether a signal asked to stop.
    pub fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::SeqCst)
    }

    /// What the handlers do at a first signal.
    #[cfg(test)]
    pub fn interrupt(&self) {
        self.interrupted.store(true, Ordering::SeqCst);
    }
}

/// While it lives, work may end in its own time.
pub struct Gently<'a>(&'a Signals);

impl Drop for Gently<'_> {
    fn drop(&mut self) {
        self.0.at_once.store(true, Ordering::SeqCst);
    }
}
