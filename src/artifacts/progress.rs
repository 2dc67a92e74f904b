//! Telling people how far an installation is.

use std::{
    fmt,
    io::{IsTerminal, Write},
    sync::atomic::{AtomicU64, Ordering},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A step of an installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Over the network: can take minutes.
    Fetching,
    /// Reading from disk.
    Checking,
    /// From disk to disk.
    Unpacking,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fetching => "fetching",
            Self::Checking => "checking",
            Self::Unpacking => "unpacking",
        })
    }
}

/// Hears how far an installation is.
pub trait Progress: Send + Sync {
    /// A step began for `what`; `total` bytes will pass.
    fn begin(&self, step: Step, what: &str, total: u64);

    /// So many bytes of the step have passed.
    fn reached(&self, bytes: u64);

    /// The step is done.
    fn end(&self);
}

/// Says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _step: Step, _what: &str, _total: u64) {}

    fn reached(&self, _bytes: u64) {}

    fn end(&self) {}
}

/// More tenths than there are: a step that needs no further words.
const ALL_SAID: u64 = 11;

/// Draws a bar on a terminal; elsewhere writes a line per step, and one for every tenth of what is fetched.
#[derive(Debug)]
pub struct Console {
    bar: ProgressBar,
    is_terminal: bool,
    tenths_said: AtomicU64,
}

impl Default for Console {
    fn default() -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let target = if is_terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let style = ProgressStyle::with_template("{msg:40} {wide_bar} {bytes:>10} / {total_bytes:10} {eta:>4}");
        let bar = ProgressBar::with_draw_target(None, target)
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, is_terminal, tenths_said: AtomicU64::new(0) }
    }
}

impl Console {
    fn say(&self, words: fmt::Arguments<'_>) {
        if !self.is_terminal {
            // Progress is a courtesy: a closed stderr must not stop an installation.
            drop(writeln!(std::io::stderr(), "{words}"));
        }
    }
}

impl Progress for Console {
    fn begin(&self, step: Step, what: &str, total: u64) {
        self.bar.reset();
        self.bar.set_message(format!("{step} {what}"));
        self.bar.set_length(total);
        self.tenths_said.store(if step == Step::Fetching { 0 } else { ALL_SAID }, Ordering::Relaxed);
        self.say(format_args!("{step} {what}"));
    }

    fn reached(&self, bytes: u64) {
        let total = self.bar.length().unwrap_or(0).max(1);
        let bytes = bytes.min(total);
        self.bar.set_position(bytes);
        let tenths = bytes * 10 / total;
        if self.tenths_said.fetch_max(tenths, Ordering::Relaxed) < tenths {
            self.say(format_args!("{}: {} %", self.bar.message(), tenths * 10));
        }
    }

    fn end(&self) {
        self.reached(self.bar.length().unwrap_or(0));
        self.bar.finish_and_clear();
    }
}
